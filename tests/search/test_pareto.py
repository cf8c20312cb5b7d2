"""Fronts and the room they take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.search.pareto import front, hypervolume

SCALES = st.integers(0, 4).map(float)


def dominates(first, second):
    """Whether the first is nowhere below the second and somewhere above it."""
    pairs = list(zip(first, second, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[SCALES] * n), max_size=25)))
def test_front_is_what_no_point_dominates(points):
    expected = [i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)]
    assert front(points) == expected


def test_equal_points_all_stay():
    assert front([(1.0, 2.0), (1.0, 2.0), (0.0, 2.0)]) == [0, 1]


def test_hypervolume_is_the_area_of_the_union():
    assert hypervolume([(1.0, 3.0), (2.0, 1.0), (1.0, 1.0)], (0.0, 0.0)) == pytest.approx(4.0)
    assert hypervolume([(1.0, -1.0)], (0.0, 0.0)) == 0.0
    assert hypervolume([(2.0, 2.0)], (1.0, 1.0)) == pytest.approx(1.0)
