"""The proposers of a run and how often each is asked."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evolve.config import nearest
from evolve.errors import UsageError
from evolve.propose.base import Proposer

if TYPE_CHECKING:
    import numpy

    from evolve.llm.client import Client
    from evolve.propose.language_model import PatchMix

OFFLINE = "offline"
GROUP = "evolve.proposers"
"""Entry points of this group are functions of no argument that return a Proposer."""


@dataclass(frozen=True)
class Arm:
    """A proposer with its weight."""

    proposer: Proposer
    weight: float = 1.0


@dataclass
class Ensemble:
    """Arms that are drawn in proportion to their weights. ``client`` is shared by the language models among them."""

    arms: Sequence[Arm]
    client: Client | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.arms = list(self.arms)
        if not self.arms:
            raise UsageError("no proposer; give --llm offline or a model such as openai/gpt-5-mini")

    @classmethod
    def parse(
        cls,
        spec: str,
        models: Mapping[str, Any] | None = None,
        *,
        patches: PatchMix | None = None,
        attempts: int = 3,
        client: Client | None = None,
    ) -> Ensemble:
        """The ensemble of ``offline:1,openai/gpt-5-mini:2``.

        A name is ``offline``, ``offline/GROUP`` (one group of its operators: numbers, structure or crossing), an entry
        point of the group ``evolve.proposers``, a table of ``models``, or a model id with a vendor (``vendor/model``).
        Raises UsageError for anything else, naming the nearest.
        """
        models = models or {}
        names = parse_spec(spec)
        if any(_is_model(name, models) for name in names) and client is None:
            from evolve.llm.client import Client

            client = Client()
        arms = [Arm(_proposer(name, models, patches, attempts, client), weight) for name, weight in names.items()]
        return cls(arms, client)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(arm.proposer.name for arm in self.arms)

    @property
    def offline_only(self) -> bool:
        """Whether no arm calls a service, so that a run with one worker can be repeated exactly."""
        return all(_is_offline(name) for name in self.names)

    def __getitem__(self, name: str) -> Proposer:
        for arm in self.arms:
            if arm.proposer.name == name:
                return arm.proposer
        raise UsageError(f"no proposer {name!r} in this run; {nearest(name, self.names)}")

    def choose(self, rng: numpy.random.Generator) -> Proposer:
        """A proposer, drawn by weight."""
        total = sum(arm.weight for arm in self.arms)
        chances = [arm.weight / total for arm in self.arms]
        return self.arms[int(rng.choice(len(self.arms), p=chances))].proposer

    def drop(self, name: str) -> bool:
        """Leaves a proposer out from now on; False (and nothing changes) when it is the last one."""
        kept = [arm for arm in self.arms if arm.proposer.name != name]
        if not kept:
            return False
        self.arms = kept
        return True

    async def aclose(self) -> None:
        """Closes the connections of the language models."""
        if self.client is not None:
            await self.client.aclose()


def parse_spec(spec: str) -> dict[str, float]:
    """Names and positive weights; a part after the last colon is a weight when it is a number, else of the name."""
    found: dict[str, float] = {}
    for part in spec.split(","):
        name, weight = part.strip(), 1.0
        head, colon, tail = name.rpartition(":")
        if colon:
            with contextlib.suppress(ValueError):
                name, weight = head.strip(), float(tail)
        if not name:
            raise UsageError(f"--llm {spec!r}: a proposer has no name; write for example offline:1,openai/gpt-5-mini:2")
        if not 0 < weight < float("inf"):
            raise UsageError(f"--llm {spec!r}: the weight of {name!r} must be a positive number, not {weight:g}")
        if name in found:
            raise UsageError(f"--llm {spec!r}: {name!r} is named twice; add its weights")
        found[name] = weight
    return found


def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def _is_model(name: str, models: Mapping[str, Any]) -> bool:
    return not _is_offline(name) and (name in models or (name not in _plugins() and "/" in name))


def _is_offline(name: str) -> bool:
    return name == OFFLINE or name.startswith(f"{OFFLINE}/")


def _proposer(
    name: str, models: Mapping[str, Any], patches: PatchMix | None, attempts: int, client: Client | None
) -> Proposer:
    if _is_offline(name):
        from evolve.propose.mutator.offline import OfflineMutator

        return OfflineMutator(name.partition("/")[2] or None)
    if _is_model(name, models):
        from evolve.llm.models import ModelConfig
        from evolve.propose.language_model import LanguageModel

        assert client is not None, "parse makes a client for every model"
        config = ModelConfig.from_table(name, models.get(name, {}))
        config.key()  # a missing key is told before anything starts
        return LanguageModel(config, client, patches, attempts)
    plugins = _plugins()
    if name in plugins:
        made: Proposer = plugins[name].load()()
        return made
    known = [OFFLINE, *models, *plugins]
    raise UsageError(f"unknown proposer {name!r}; {nearest(name, known)}, or a model id such as openai/gpt-5-mini")
