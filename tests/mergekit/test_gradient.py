from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.mergekit.gradient import AT, Interval, at, depths, fitted


def test_the_interpolation_of_recipes_is_the_one_that_is_fitted():
    names: dict = {}
    exec(AT, names)
    for numbers in ([0.0, 1.0], [0.3, -2.0, 5.0], [1.0, 0.7, 0.1, 0.4]):
        assert [names["at"](numbers, depth) for depth in depths(7)] == [at(numbers, depth) for depth in depths(7)]


def test_a_layer_on_a_number_gets_that_number():
    numbers = [0.1 * index for index in range(50)]
    assert [at(numbers, depth) for depth in depths(50)] == numbers


@given(
    st.lists(st.integers(-20, 20).map(lambda n: n / 10), min_size=2, max_size=7),
    st.integers(8, 40),
)
def test_what_a_gradient_made_is_found_again(numbers, layers):
    values = [at(numbers, depth) for depth in depths(layers)]
    found = fitted([Interval(value, value) for value in values])
    again = [found] * layers if isinstance(found, float) else [at(found, depth) for depth in depths(layers)]
    assert again == values
    assert isinstance(found, float) or len(found) <= len(numbers) or len(found) == layers


def test_the_gradient_of_a_paper_is_short_again():
    anchors = [0.0, 0.5, 0.3, 0.7, 1.0]
    assert fitted([Interval(at(anchors, d), at(anchors, d)) for d in depths(32)]) == anchors


@pytest.mark.parametrize(
    ("low", "high", "shortest"), [(0.32, 0.34, 0.33), (0.5, 0.5, 0.5), (0.0, 0.01, 0.005), (0.19, 0.31, 0.2)]
)
def test_the_shortest_number_is_taken(low, high, shortest):
    found = Interval(low, high).shortest
    assert low <= found <= high
    assert len(repr(found)) <= len(repr(shortest))
