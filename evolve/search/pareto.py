"""Which points no other point beats in every objective, and how much room such a front takes."""

from __future__ import annotations

from collections.abc import Sequence

Point = Sequence[float]


def dominates(first: Point, second: Point) -> bool:
    """Whether ``first`` is nowhere below ``second`` and somewhere above it; every objective is maximised."""
    return all(a >= b for a, b in zip(first, second, strict=True)) and any(
        a > b for a, b in zip(first, second, strict=True)
    )


def front(points: Sequence[Point]) -> list[int]:
    """Indices, in their order, of the points that no other dominates; equal points all stay.

    Two objectives take O(n log n), more take O(n * front). Sorted descending, no point is dominated by a later one.
    """
    order = sorted(range(len(points)), key=lambda index: tuple(points[index]), reverse=True)
    kept: list[int] = []
    for index in order:
        # With two objectives the last one kept has the highest second objective so far.
        rivals = kept[-1:] if len(points[index]) == 2 else kept
        if not any(dominates(points[rival], points[index]) for rival in rivals):
            kept.append(index)
    return sorted(kept)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The area that two-objective ``points`` dominate above ``reference``; points not above it add nothing."""
    area, height = 0.0, reference[1]
    for first, second in sorted((tuple(point) for point in points), reverse=True):
        if first > reference[0] and second > height:
            area += (first - reference[0]) * (second - height)
            height = second
    return area
