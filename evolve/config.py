"""Settings of a run: frozen, nested, one section per owner, unknown keys refused with the nearest valid name."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from evolve.errors import EvolveError, UsageError

T = TypeVar("T")

SANDBOX_LEVELS = ("none", "contained", "full")
"""What ``sandbox.minimum`` may ask for, in rising order; evolve.sandbox.limits says what each demands."""

WEIGHTS = "weights"
"""The setting ``search.bandit`` that draws proposers by their weights."""


@dataclass(frozen=True)
class BudgetConfig:
    """When a run ends: evaluations on the search split, dollars, or seconds of run time; 0 means no limit."""

    evaluations: int = 200
    usd: float = 0.0
    time_s: float = 0.0


@dataclass(frozen=True)
class SearchConfig:
    """What is proposed.

    ``strategy`` is a name of docs/strategies.md, ``options`` its own settings; the others are those of ``evolve``.

    With ``profiles`` a trust region searches the amounts of all experts in all places of a merge, beside the structures
    and for a share of the evaluations that follows its gains. ``bandit`` chooses among several proposers by what they
    gained: ``ucb``, ``thompson``, ``weights`` (as ``--llm`` gives them) or ``auto`` (``ucb`` unless those differ).
    With ``tuning`` CMA-ES tunes the numbers of elites in the same way. ``migration_interval`` counts evaluations;
    ``fix_probability`` is the share of proposals that repair a failed program, where the proposer can; with
    ``surrogate`` the best predicted of ``surrogate_candidates`` drafts is evaluated.
    """

    strategy: str = "evolve"
    profiles: bool = True
    bandit: str = "auto"
    tuning: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    islands: int = 1
    parent_sampler: str = "weighted"
    inspirations: int = 3
    cross_probability: float = 0.15
    fix_probability: float = 0.15
    migration_interval: int = 50
    stagnation_evaluations: int = 100
    surrogate: bool = False
    surrogate_candidates: int = 3


@dataclass(frozen=True)
class NoveltyConfig:
    """What is too much like a known program to be evaluated: cosines from which texts and embeddings count as the same
    (0 switches a comparison off), proposals until one is new, and the models that embed and judge (empty: none)."""

    text_threshold: float = 0.99
    embedding_threshold: float = 0.99
    tries: int = 3
    embedding_model: str = ""
    judge_model: str = ""


@dataclass(frozen=True)
class SandboxConfig:
    """Limits of one program in the sandbox; ``wall_s`` is for tracing a recipe or for one call of a program.

    ``minimum`` is the level below which nothing runs. Raises UsageError for an unknown one.
    """

    wall_s: float = 10.0
    cpu_s: float = 20.0
    memory_mb: int = 2048
    minimum: str = "contained"

    def __post_init__(self) -> None:
        if self.minimum not in SANDBOX_LEVELS:
            raise UsageError(f"sandbox.minimum must be one of {', '.join(SANDBOX_LEVELS)}, not {self.minimum!r}")


@dataclass(frozen=True)
class EvaluationConfig:
    """Workers (0: as many as cores and memory allow), device, seconds per evaluation, how many of the best programs
    the validation split decides between, whether to measure each merged model's share of every donor, and every how
    many evaluations the best program is ablated (-1: 60 with a language model, else never).

    ``racing`` gives a candidate up after a share ``racing_batches`` of the items (empty: where a batch of prompts ends)
    when it almost surely is no new best; one that is would be lost so with a chance of at most ``racing_alpha``. Every
    ``fresh_every`` evaluations the best elite is evaluated on the split ``fresh`` (0: never).
    """

    workers: int = 0
    device: str = "auto"
    dtype: str = "auto"
    timeout_s: float = 600.0
    finalists: int = 8
    provenance: bool = True
    ablate_every: int = -1
    racing: bool = False
    racing_alpha: float = 0.1
    racing_batches: list[float] = field(default_factory=list)
    fresh_every: int = 0


@dataclass(frozen=True)
class ProposalConfig:
    """Who proposes (``llm``: ``name:weight`` separated by commas), in what proportion of patches, how often retried.

    Of its parent a language model is told which items it won and lost, what edits did to the score, and what donors and
    layers are worth; the share ``evolution_of_thought`` of its free edits is to transfer what helped an elite.

    Every ``scratchpad_every`` evaluations (0: never) a language model distils what the edits taught. With
    ``prompt_archive`` one writes another variant of the advice in prompts every ``prompt_every`` evaluations; at most
    ``prompt_variants`` are drawn from. Raises UsageError for a number out of range.
    """

    llm: str = "offline"
    diff: float = 0.6
    full: float = 0.3
    cross: float = 0.1
    attempts: int = 3
    concurrency: int = 4
    item_feedback: bool = True
    insights: bool = True
    importance: bool = True
    evolution_of_thought: float = 0.25
    scratchpad_every: int = 25
    prompt_archive: bool = True
    prompt_every: int = 40
    prompt_variants: int = 6

    def __post_init__(self) -> None:
        if not 0 <= self.evolution_of_thought <= 1:
            share = self.evolution_of_thought
            raise UsageError(f"proposals.evolution_of_thought must lie between 0 and 1, not {share}")
        for name, least in (("scratchpad_every", 0), ("prompt_every", 1), ("prompt_variants", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"proposals.{name} must be at least {least}, not {getattr(self, name)}")


@dataclass(frozen=True)
class RunConfig:
    """Everything a run can be told; ``models`` holds one table per language model (see docs/models.md)."""

    seed: int = 0
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    novelty: NoveltyConfig = field(default_factory=NoveltyConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    models: dict[str, Any] = field(default_factory=dict)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as ``did you mean 'workers'?``, or the list of what exists."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def build(cls: type[T], table: Mapping[str, Any], where: str, error: type[EvolveError] = UsageError) -> T:
    """An instance of the dataclass ``cls`` from a TOML table, every key and type checked; ``where`` names the table."""
    if not isinstance(table, Mapping):
        raise error(f"{where} must be a table, not {table!r}")
    hints = typing.get_type_hints(cls)
    for key in table:
        if key not in hints:
            raise error(f"unknown key {key!r} in {where}; {nearest(key, hints)}")
    values = {key: _convert(hints[key], value, f"{where}.{key}", error) for key, value in table.items()}
    missing = [f.name for f in fields(cls) if f.name not in values and _required(f)]  # type: ignore[arg-type]
    if missing:
        raise error(f"{where} needs the key {missing[0]!r}")
    return cls(**values)


def update(config: T, table: Mapping[str, Any], where: str, error: type[EvolveError] = UsageError) -> T:
    """``config`` with the given keys changed, nested sections merged key by key."""
    hints = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            raise error(f"unknown key {key!r} in {where}; {nearest(key, hints)}")
        if is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise error(f"{where}.{key} must be a table, not {value!r}")
            changes[key] = update(getattr(config, key), value, f"{where}.{key}", error)
        else:
            changes[key] = _convert(hints[key], value, f"{where}.{key}", error)
    return replace(config, **changes)  # type: ignore[type-var]


def assignment(text: str) -> dict[str, Any]:
    """``search.islands=2`` as a nested table; the value is read as TOML, else as a string."""
    import tomllib

    path, separator, raw = text.partition("=")
    if not separator or not path.strip():
        raise UsageError(f"--set takes SECTION.KEY=VALUE, not {text!r}; for example --set search.islands=2")
    try:
        value = tomllib.loads(f"value = {raw.strip()}")["value"]
    except (ValueError, RecursionError):
        value = raw.strip()
    for key in reversed(path.strip().split(".")):
        value = {key: value}
    return typing.cast(dict[str, Any], value)


def _required(spec: Any) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _convert(hint: Any, value: Any, where: str, error: type[EvolveError]) -> Any:
    origin = typing.get_origin(hint)
    if is_dataclass(hint):
        return build(typing.cast(type, hint), value, where, error)
    if origin in (types.UnionType, typing.Union):
        choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        if value is None or len(choices) == 1:
            return value if value is None else _convert(choices[0], value, where, error)
        fitting = [choice for choice in choices if isinstance(value, typing.get_origin(choice) or choice)]
        if not fitting:
            wanted = " or ".join(_name(typing.get_origin(choice) or choice) for choice in choices)
            raise error(f"{where} must be {wanted}, not {value!r}")
        return _convert(fitting[0], value, where, error)
    expected = origin or hint
    if expected is Any:
        return value
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise error(f"{where} must be {_name(expected)}, not {value!r}")
    arguments = typing.get_args(hint)
    if expected is dict and arguments and arguments[1] is not Any:
        return {key: _convert(arguments[1], item, f"{where}.{key}", error) for key, item in value.items()}
    return value


def _name(kind: type) -> str:
    names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}
    return names.get(kind, kind.__name__)
