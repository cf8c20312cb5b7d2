"""Scores in which items that few points solve count more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.gaussian import Vector
from evolve.statistics import is_mean

COMMON = 0.1
"""Added to the share of points that solve an item: an item solved by none weighs eleven times one solved by all."""


class SharedScores:
    """Scores of a search's points; of the first ``shared`` an item's weight is 1 / (share that solve it + COMMON).

    Source: implicit fitness sharing, Smith, Forrest and Perelson 1993, Evolutionary Computation 1(2):127-149. Without
    it a search climbs to where the many easy items are solved, and may end where others never can be. Scores are shared
    only while all of them are means of outcomes between 0 and 1, over the same items.
    """

    def __init__(self, shared: int) -> None:
        self._shared = shared
        self._scores: list[float | None] = []
        self._outcomes: list[Sequence[float]] = []

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def shares(self) -> bool:
        """Whether rare items count more at present."""
        return len(self._scores) < self._shared

    def add(self, score: float | None, outcomes: Sequence[float]) -> None:
        """The score of the next point, None where it failed; a failed point counts as the worst."""
        self._scores.append(score)
        if score is not None and self.shares:
            fits = is_mean(score, outcomes) and min(outcomes) >= 0 and max(outcomes) <= 1
            if not fits or (self._outcomes and len(outcomes) != len(self._outcomes[0])):
                self._shared = 0
            self._outcomes.append(outcomes)
        if not self.shares:
            self._outcomes = []

    def values(self, count: int) -> Vector:
        """What the first ``count`` points are worth, (count,)."""
        scores = self._scores[:count]
        known = np.array([score is not None for score in scores], dtype=bool)
        values = np.array([0.0 if score is None else score for score in scores])
        if self.shares and known.any():
            outcomes = np.array(self._outcomes[: int(known.sum())])
            weights = 1.0 / (outcomes.mean(0) + COMMON)
            values[known] = outcomes @ weights / weights.sum()
        values[~known] = values[known].min() if known.any() else 0.0
        return values
