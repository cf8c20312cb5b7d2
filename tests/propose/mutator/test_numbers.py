from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.propose.mutator.numbers import Range, reflect, shown, text_of


@given(st.floats(-5, 5), st.floats(0.01, 20), st.floats(-3, 3))
def test_values_stay_in_bounds_and_come_back(low, width, unit):
    bounds = Range(low, low + width)
    value = bounds.value(unit)
    assert low <= value <= low + width
    assert bounds.unit(value) == pytest.approx(reflect(unit), abs=2e-3)


def test_wide_ratios_are_logarithmic():
    bounds = Range(0.001, 1.0)
    assert bounds.logarithmic and bounds.value(0.5) == pytest.approx(0.0316, abs=1e-4)
    assert not Range(0.1, 1.0).logarithmic and not Range(0.0, 100.0).logarithmic


def test_counting_knobs_stay_whole():
    assert Range(1, 9, integer=True).value(0.44) == 5.0


def test_reflection():
    assert [reflect(x) for x in (-0.2, 0.3, 1.25, 2.5)] == pytest.approx([0.2, 0.3, 0.75, 0.5])


def test_writing():
    assert text_of(0.5) == "0.5" and text_of(-2.0) == "-2.0" and text_of(3.0, integer=True) == "3"
    assert shown([0.12345, 1.0]) == "[0.1235, 1]"
