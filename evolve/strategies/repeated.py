"""Repeated sampling: every proposal changes a seed, never a child."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from evolve.propose.base import Parent
from evolve.statistics import score_interval
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import options_of

NAME = "repeated"


@dataclass(frozen=True)
class Options:
    """``parent``: ``uniform`` over the scored seeds, or ``best`` for the one with the highest score."""

    parent: str = "uniform"


class Repeated:
    """The baseline without evolution at an equal budget: proposers see a seed alone, without inspirations, mates or
    relatives, so that nothing found in the run is used."""

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError for an unknown choice of the parent."""
        self._setting = setting
        self._options = options_of(Options, setting, {"parent": ("uniform", "best")})
        self.parents: dict[str, Parent] = {}

    def ask(self, rng: numpy.random.Generator) -> Ask | None:
        """A change of a seed by a proposer of the run; None while no seed has a score."""
        if not self.parents:
            return None
        parents, setting = [self.parents[name] for name in sorted(self.parents)], self._setting
        if self._options.parent == "best":
            parent = max(parents, key=lambda one: (one.score if one.score is not None else -numpy.inf, -int(one.id)))
        else:
            parent = parents[int(rng.integers(len(parents)))]
        proposer = setting.ensemble.choose(rng)
        request = setting.request(int(rng.integers(2**63)), parent=parent)
        return Ask(proposer.name, request=request, proposer=proposer, parent=int(parent.id))

    def tell(self, told: Told) -> None:
        """Remembers the seeds that have a score; everything else is forgotten."""
        if told.seed_name is None or told.source is None or told.score is None or not told.whole:
            return
        found = score_interval(told.score, told.outcomes)
        low, high = (found.low, found.high) if found else (None, None)
        self.parents[told.seed_name] = Parent(str(told.id), told.source, told.score, low, high)
