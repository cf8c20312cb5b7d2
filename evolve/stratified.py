"""How sure a weighted mean of task means is, and whether two programs differ in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evolve.errors import UsageError
from evolve.statistics import RESAMPLES, SAME_SCORE, Comparison, Interval, compare, flips, mean_interval

METHOD = "per-task intervals of the paired difference, combined by MOVER (Zou and Donner 2008)"
_BLOCK = 500


@dataclass(frozen=True, slots=True)
class Strata:
    """The task of each item of a split, in order, and the tasks' weights (positive; 1 where left out)."""

    tasks: tuple[str, ...]
    weights: Mapping[str, float]

    @property
    def plain(self) -> bool:
        """Whether the weighted mean of task means is the mean of all items."""
        shares = self.shares()
        return all(
            math.isclose(share, len(items) / len(self.tasks))
            for share, items in zip(shares, self._groups(), strict=True)
        )

    def part(self, items: Iterable[int]) -> Strata:
        """The same for some of the items."""
        return Strata(tuple(self.tasks[item] for item in items), self.weights)

    def shares(self) -> list[float]:
        """Each task's share of the score, tasks in the order of their names."""
        parts = [float(self.weights.get(task, 1.0)) for task in sorted(set(self.tasks))]
        return [part / math.fsum(parts) for part in parts]

    def split(self, outcomes: Sequence[float]) -> list[list[float]]:
        """Outcomes by task, in the order of ``shares``. Raises UsageError unless there is one for each item."""
        if not outcomes or len(outcomes) != len(self.tasks):
            raise UsageError(f"{len(outcomes)} outcomes for {len(self.tasks)} items; evaluate the split anew")
        return [[float(outcomes[item]) for item in items] for items in self._groups()]

    def mean(self, outcomes: Sequence[float]) -> float:
        """The weighted mean of the tasks' means. Raises as ``split``."""
        means = (math.fsum(values) / len(values) for values in self.split(outcomes))
        return math.fsum(share * mean for share, mean in zip(self.shares(), means, strict=True))

    def _groups(self) -> list[list[int]]:
        found: dict[str, list[int]] = {}
        for item, task in enumerate(self.tasks):
            found.setdefault(task, []).append(item)
        return [found[task] for task in sorted(found)]


def weighted_interval(strata: Strata, outcomes: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval of the weighted mean of task means.

    Each task's interval is evolve.statistics' (Wilson's where outcomes are 0 or 1), combined by MOVER.
    """
    parts = strata.split(outcomes)
    means = [math.fsum(values) / len(values) for values in parts]
    return _mover(strata.shares(), means, [mean_interval(values, confidence) for values in parts])


def weighted_score_interval(strata: Strata, score: float, outcomes: Sequence[float]) -> Interval | None:
    """The 95 % interval of a score that is the weighted mean of its tasks' means; None for any other score."""
    if len(outcomes) != len(strata.tasks) or not outcomes or abs(strata.mean(outcomes) - score) > SAME_SCORE:
        return None
    return weighted_interval(strata, outcomes)


def weighted_compare(
    strata: Strata, first: Sequence[float], second: Sequence[float], confidence: float = 0.95, *, seed: int = 0
) -> Comparison:
    """Two programs on the same items, by the difference of their weighted means.

    The interval combines the tasks' paired intervals (Tango's where outcomes are 0 or 1) by MOVER. The p-value is that
    of the paired randomisation test with ``seed`` (Fisher 1935): every item's difference keeps or changes its sign.
    Raises UsageError when the numbers of items differ or are zero.
    """
    pairs = zip(strata.split(first), strata.split(second), strict=True)
    found = [compare(ours, theirs, confidence, seed=seed) for ours, theirs in pairs]
    shares, gaps = strata.shares(), [one.difference for one in found]
    low, high = _mover(shares, gaps, [Interval(one.low, one.high) for one in found])
    won, lost = flips(first, second)
    difference = math.fsum(share * gap for share, gap in zip(shares, gaps, strict=True))
    p_value = _randomisation(strata, [a - b for a, b in zip(first, second, strict=True)], seed)
    return Comparison(len(first), difference, low, high, p_value, len(won), len(lost), METHOD)


def _mover(shares: Sequence[float], estimates: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The method of variance estimates recovery for a sum of independent parts with positive weights.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693-1702. The lower limit uses the variances that the lower
    limits of the parts imply, the upper limit those of the upper ones, so asymmetry survives.
    """
    parts = list(zip(shares, estimates, intervals, strict=True))
    centre = math.fsum(share * estimate for share, estimate, _ in parts)
    below = math.sqrt(math.fsum((share * (estimate - one.low)) ** 2 for share, estimate, one in parts))
    above = math.sqrt(math.fsum((share * (one.high - estimate)) ** 2 for share, estimate, one in parts))
    return Interval(centre - below, centre + above)


def _randomisation(strata: Strata, differences: Sequence[float], seed: int) -> float:
    import numpy as np

    counts = [len(values) for values in strata.split(differences)]
    each = dict(
        zip(sorted(set(strata.tasks)), (s / n for s, n in zip(strata.shares(), counts, strict=True)), strict=True)
    )
    terms = np.array([each[task] * gap for task, gap in zip(strata.tasks, differences, strict=True)])  # (items,)
    terms = terms[terms != 0]
    if not len(terms):
        return 1.0
    rng, extreme = np.random.default_rng(seed), 0
    threshold = abs(terms.sum()) - SAME_SCORE
    for _ in range(0, RESAMPLES, _BLOCK):
        signs = rng.integers(2, size=(_BLOCK, len(terms))) * 2.0 - 1.0
        extreme += int((abs(signs @ terms) >= threshold).sum())
    return (1 + extreme) / (1 + RESAMPLES)
