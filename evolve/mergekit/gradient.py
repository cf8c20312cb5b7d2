"""Gradients: lists of numbers that are interpolated over the layers, and how to find one for given layers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

AT = '''
def at(numbers, depth):
    """Piecewise linear between equally spaced numbers, from the first at depth 0 to the last at depth 1."""
    place = round(depth * (len(numbers) - 1), 9)
    below = min(int(place), len(numbers) - 2)
    return numbers[below] + (numbers[below + 1] - numbers[below]) * (place - below)
'''
"""The function as it stands in converted recipes; `at` is the same."""

_MOST_ANCHORS = 12
_MOST_DIGITS = 17


def at(numbers: Sequence[float], depth: float) -> float:
    """Piecewise linear between equally spaced numbers, from the first at depth 0 to the last at depth 1.

    Rounding puts a layer that lies on one of the numbers exactly there.
    """
    place = round(depth * (len(numbers) - 1), 9)
    below = min(int(place), len(numbers) - 2)
    return numbers[below] + (numbers[below + 1] - numbers[below]) * (place - below)


class Interval(NamedTuple):
    """The numbers from ``low`` to ``high``, both belonging to it, with which a merge is the same."""

    low: float
    high: float

    def meet(self, other: Interval) -> Interval | None:
        """What both allow; None where that is nothing."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Interval(low, high) if low <= high else None

    def allows(self, number: float) -> bool:
        return self.low <= number <= self.high

    @property
    def shortest(self) -> float:
        """The number of the interval with the fewest digits; the one nearest to the middle among those."""
        if self.low == self.high:
            return self.low
        middle = float((Fraction(self.low) + Fraction(self.high)) / 2)
        for digits in range(1, _MOST_DIGITS + 1):
            number = float(f"{middle:.{digits}g}")
            if self.allows(number):
                return number
        return self.low


def meet_all(intervals: Sequence[Interval]) -> Interval | None:
    """What all of them allow."""
    met: Interval | None = intervals[0]
    for interval in intervals[1:]:
        met = met.meet(interval) if met is not None else None
    return met


def depths(layers: int) -> list[float]:
    """Where each of so many layers lies; a single one lies at the end, as mergekit has it."""
    return [layer / (layers - 1) for layer in range(layers)] if layers > 1 else [1.0]


def fitted(intervals: Sequence[Interval]) -> float | list[float]:
    """One number, or the shortest gradient, that every layer's interval allows."""
    met = meet_all(intervals)
    if met is not None:
        return met.shortest
    places = depths(len(intervals))
    middles = np.array([interval.shortest for interval in intervals])
    for anchors in range(2, min(_MOST_ANCHORS, len(intervals) - 1) + 1):
        basis = np.array(
            [[at([float(i == j) for i in range(anchors)], place) for j in range(anchors)] for place in places]
        )
        solution = np.linalg.lstsq(basis, middles, rcond=None)[0]
        for digits in (3, 6, 12):
            numbers = [round(float(number), digits) + 0.0 for number in solution]
            if all(interval.allows(at(numbers, place)) for interval, place in zip(intervals, places, strict=True)):
                return numbers
    return [float(number) for number in middles]
