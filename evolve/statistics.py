"""How sure a score is, and whether two programs differ, from their outcomes on the same items."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from evolve.errors import UsageError

RESAMPLES = 10_000
BOOTSTRAP_MINIMUM = 20
SAME_SCORE = 1e-9
_BLOCK = 1_000
_HALVINGS = 60


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Flips(NamedTuple):
    """The items, counted from 0, on which the first program did better (``won``) and worse (``lost``)."""

    won: tuple[int, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first program against the second on the same items; ``difference`` is the first mean minus the second.

    ``low`` and ``high`` bound the difference, ``p_value`` is McNemar's exact one for the hypothesis that there is none.
    """

    items: int
    difference: float
    low: float
    high: float
    p_value: float
    won: int
    lost: int
    method: str


def mean_interval(outcomes: Sequence[float], confidence: float = 0.95, *, seed: int = 0) -> Interval:
    """The interval of the mean of outcomes in 0..1.

    Wilson's for outcomes that are 0 or 1. For fractional ones the percentile bootstrap with ``seed`` (Efron and
    Tibshirani 1993, chapter 13); below 20 items Wilson's at their mean, which is wide enough because a variable in 0..1
    with mean p varies at most by p(1 − p) (Bhatia and Davis 2000). Raises UsageError without outcomes.
    """
    values = _checked(outcomes)
    if _binary(values) or len(values) < BOOTSTRAP_MINIMUM:
        return wilson(math.fsum(values), len(values), confidence)
    return _bootstrap(values, confidence, seed)


def score_interval(score: float, outcomes: Sequence[float]) -> Interval | None:
    """The 95 % interval of a score that is the mean of its outcomes; None for any other score."""
    return mean_interval(outcomes) if is_mean(score, outcomes) else None


def is_mean(score: float, outcomes: Sequence[float]) -> bool:
    """Whether a score is the mean of outcomes, so that a part of the items estimates it."""
    return bool(outcomes) and abs(math.fsum(outcomes) / len(outcomes) - score) <= SAME_SCORE


def wilson(successes: float, items: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion (Wilson 1927, JASA 22:209-212)."""
    if items < 1 or not 0 <= successes <= items:
        raise UsageError(f"{successes} successes of {items} items is no proportion; there must be at least one item")
    z = _normal_quantile(confidence)
    share = successes / items
    centre = share + z * z / (2 * items)
    spread = z * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    scale = 1 + z * z / items
    # At the ends the formula is exact, its rounding is not.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == items else (centre + spread) / scale
    return Interval(low, high)


def unflattered(mean: float, chosen: float, drop: float) -> float:
    """What a mean is worth when the share ``chosen`` of its items is what it was chosen by.

    ``drop`` is how much programs chosen in the same way lost, on average, on items that they had not been chosen by.
    """
    return mean - chosen * drop


def compare(first: Sequence[float], second: Sequence[float], confidence: float = 0.95, *, seed: int = 0) -> Comparison:
    """Two programs on the same items in the same order.

    The interval of the difference is Tango's score interval when all outcomes are 0 or 1, else the paired percentile
    bootstrap with ``seed``. Raises UsageError when the numbers of items differ or are zero.
    """
    ours, theirs = _checked(first), _checked(second)
    won, lost = flips(ours, theirs)
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if _binary(ours) and _binary(theirs):
        low, high = paired_interval(len(won), len(lost), len(ours), confidence)
        method = "score interval of paired proportions (Tango 1998)"
    else:
        low, high = _bootstrap(differences, confidence, seed)
        method = f"paired bootstrap, {RESAMPLES} resamples"
    difference = math.fsum(differences) / len(differences)
    p_value = mcnemar(len(won), len(lost))
    return Comparison(len(ours), difference, low, high, p_value, len(won), len(lost), method)


def flips(first: Sequence[float], second: Sequence[float]) -> Flips:
    """Which items the first program won and lost against the second. Raises UsageError for unequal numbers of items."""
    if len(first) != len(second):
        raise UsageError(f"{len(first)} and {len(second)} outcomes cannot be paired; evaluate both on the same split")
    pairs = list(enumerate(zip(first, second, strict=True)))
    return Flips(tuple(i for i, (a, b) in pairs if a > b), tuple(i for i, (a, b) in pairs if a < b))


def mcnemar(won: int, lost: int) -> float:
    """The exact two-sided p-value of McNemar's test: won items are binomial(won + lost, 1/2) if there is no difference.

    McNemar 1947, Psychometrika 12:153-157; with fractional outcomes it is the sign test. 1 when nothing flipped.
    """
    flipped = won + lost
    # Integers until the last step: the terms of a long binomial sum leave the range of floats.
    tail: int = sum(math.comb(flipped, k) for k in range(min(won, lost) + 1))
    return float(min(1.0, 2 * tail / 2**flipped))


def paired_interval(won: int, lost: int, items: int, confidence: float = 0.95) -> Interval:
    """The score interval of the difference (won − lost)/items of two proportions on the same items.

    Inverts the score test whose variance is the maximum-likelihood one under the tested difference. Source: Tango 1998,
    Statistics in Medicine 17:891-908, equations for the restricted estimate of the probability of losing an item.
    """
    if items < 1 or won < 0 or lost < 0 or won + lost > items:
        raise UsageError(f"{won} won and {lost} lost of {items} items is impossible; there must be at least one item")
    z = _normal_quantile(confidence)
    estimate = (won - lost) / items

    def distance(difference: float) -> float:
        return _score_statistic(won, lost, items, difference)

    low = -1.0 if lost == items else _crossing(distance, z, -1.0, estimate)
    high = 1.0 if won == items else _crossing(distance, -z, estimate, 1.0)
    return Interval(low, high)


def _score_statistic(won: int, lost: int, items: int, difference: float) -> float:
    """Falls from +∞ at −1 to −∞ at 1 and is 0 at the observed difference."""
    a = 2 * items
    b = (2 * items - won + lost) * difference - won - lost
    c = -lost * difference * (1 - difference)
    losing = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = items * (2 * losing + difference * (1 - difference))
    excess = won - lost - items * difference
    if variance <= 0:
        return 0.0 if excess == 0 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)


def _crossing(statistic: Callable[[float], float], level: float, low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if statistic(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _bootstrap(values: Sequence[float], confidence: float, seed: int) -> Interval:
    """The percentile bootstrap interval of the mean."""
    import numpy as np

    rng = np.random.default_rng(seed)
    numbers = np.asarray(values, dtype=np.float64)  # (items,)
    means = []
    for start in range(0, RESAMPLES, _BLOCK):
        rows = min(_BLOCK, RESAMPLES - start)
        means.append(numbers[rng.integers(len(numbers), size=(rows, len(numbers)))].mean(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(low), float(high))


def _checked(outcomes: Sequence[float]) -> list[float]:
    values = [float(value) for value in outcomes]
    if not values:
        raise UsageError("no outcomes to judge; this problem's evaluator returns none per item")
    if not all(0.0 <= value <= 1.0 for value in values):
        raise UsageError("outcomes must lie between 0 and 1; correct the problem's evaluator")
    return values


def _binary(values: Sequence[float]) -> bool:
    return all(value in (0.0, 1.0) for value in values)


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence of {confidence} is impossible; use one between 0 and 1, e.g. 0.95")
    return NormalDist().inv_cdf((1 + confidence) / 2)
