"""Whose turn it is: the numbers of a known structure, or another structure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from evolve.strategies.base import Told
from evolve.strategies.credit import TUNING, UNCREDITED
from evolve.strategies.profiles import NAME as PROFILES

if TYPE_CHECKING:
    import numpy

STRUCTURE = "structure"
PRIORS: Mapping[str, float] = {PROFILES: 1.0, TUNING: 0.1, STRUCTURE: 0.1}
"""What a side is taken to gain, as a share of what all gain, before it has evaluations of its own: numbers of a good
structure gain most at first."""


class Division:
    """Divides evaluations between sides by what they gained.

    A gain is how much a result lies above its parent and above everything that its own side found before; a side's
    worth is its gain per evaluation, old ones counting less, and is taken to be its prior's share of that of all sides
    until it has evaluations. A side is chosen in proportion to its worth, but at least with probability ``LEAST``.
    Telling it all of a run's results again restores it.
    """

    DECAY = 0.98
    TRUST = 10.0
    """Evaluations that the prior counts for."""

    LEAST = 0.05

    def __init__(self) -> None:
        self._gains = dict.fromkeys(PRIORS, 0.0)
        self._evaluations = dict.fromkeys(PRIORS, 0.0)
        self._best: dict[str, float] = {}

    def shares(self, sides: Collection[str]) -> dict[str, float]:
        """The probabilities of the sides, which are names of ``PRIORS``."""
        total = sum(self._evaluations[side] for side in sides)
        common = sum(self._gains[side] for side in sides) / total if total else 0.0
        raw = {side: self._worth(side, common) if common > 0 else PRIORS[side] for side in sides}
        floor = {side: max(weight / sum(raw.values()), self.LEAST) for side, weight in raw.items()}
        return {side: share / sum(floor.values()) for side, share in floor.items()}

    def _worth(self, side: str, common: float) -> float:
        return (self._gains[side] + self.TRUST * PRIORS[side] * common) / (self._evaluations[side] + self.TRUST)

    def choose(self, sides: Collection[str], rng: numpy.random.Generator) -> str:
        """A side, drawn by its share."""
        shares = self.shares(sides)
        return str(rng.choice(list(shares), p=list(shares.values())))

    def tell(self, told: Told) -> None:
        """Every result of the run; seeds set the mark for structures."""
        if told.patch in UNCREDITED:
            return
        side = told.arm if told.arm in (PROFILES, TUNING) else STRUCTURE
        score = told.score if told.state == "scored" and told.whole else None
        before = self._best.get(side)
        if score is not None:
            self._best[side] = score if before is None else max(score, before)
        if told.seed_name is not None or not told.used:
            return
        bars = [bar for bar in (before, told.parent_score) if bar is not None]
        for name in PRIORS:
            self._gains[name] *= self.DECAY
            self._evaluations[name] *= self.DECAY
        self._gains[side] += max(score - max(bars), 0.0) if score is not None and bars else 0.0
        self._evaluations[side] += 1.0
