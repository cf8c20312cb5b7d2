"""Which points no other point beats in every objective, and how much room such a front takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = Sequence[float]


def front(points: Sequence[Point]) -> list[int]:
    """Indices, in their order, of the points that no other dominates; equal points all stay. Takes O(n * front)."""
    if not points:
        return []
    values = np.array(points, dtype=np.float64)
    left = np.lexsort(values.T[::-1])[::-1]
    kept: list[int] = []
    while left.size:  # nothing that is left can dominate the first, which comes last in the order of tuples
        best = values[left[0]]
        kept += left[(values[left] == best).all(1)].tolist()
        left = left[(values[left] > best).any(1)]
    return sorted(kept)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The area that two-objective ``points`` dominate above ``reference``; points not above it add nothing."""
    area, height = 0.0, reference[1]
    for first, second in sorted((tuple(point) for point in points), reverse=True):
        if first > reference[0] and second > height:
            area += (first - reference[0]) * (second - height)
            height = second
    return area
