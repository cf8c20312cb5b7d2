import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import EvaluatorError, ProblemError
from evolve.search.features import FeatureAxis, cell_key, cell_of, parse_key

AXIS = FeatureAxis("length", 0.0, 10.0, 5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1e308, 0), (-0.1, 0), (0.0, 0), (1.999, 0), (2.0, 1), (9.99, 4), (10.0, 4), (1e308, 4)],
)
def test_bins_are_half_open_and_clamped_at_the_bounds(value: float, expected: int) -> None:
    assert AXIS.bin_of(value) == expected


@given(
    st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 50),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2),
)  # fmt: skip
def test_bins_rise_with_the_value_and_stay_in_range(low: float, width: float, bins: int, values: list[float]) -> None:
    axis = FeatureAxis("f", low, low + width, bins)
    found = [axis.bin_of(value) for value in sorted(values)]
    assert found == sorted(found)
    assert set(found) <= set(range(bins))


def test_a_cell_has_one_bin_per_axis_in_the_order_of_axes() -> None:
    axes = [AXIS, FeatureAxis("depth", -1.0, 1.0, 2)]
    assert cell_of(axes, {"depth": 0.5, "length": 4.0, "other": math.nan}) == (2, 1)
    assert cell_of([], {"length": 1.0}) == ()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"width": 1.0}, r"no feature 'length' \(its features: width\); return a finite number"),
        ({}, r"no feature 'length' \(its features: none\)"),
        ({"length": math.nan}, "nan for feature 'length'"),
        ({"length": math.inf}, "inf for feature 'length'"),
    ],
)
def test_a_missing_or_infinite_feature_is_a_clear_error(features: dict[str, float], message: str) -> None:
    with pytest.raises(EvaluatorError, match=message):
        cell_of([AXIS], features)


@given(st.lists(st.integers(0, 1000)))
def test_keys_are_read_back(bins: list[int]) -> None:
    assert parse_key(cell_key(tuple(bins))) == tuple(bins)


def test_keys_as_documented() -> None:
    assert (cell_key((3, 0)), cell_key(())) == ("3,0", "all")


@pytest.mark.parametrize(
    ("low", "high", "bins"), [(1.0, 1.0, 3), (2.0, 1.0, 3), (0.0, 1.0, 0), (math.nan, 1.0, 3), (0, math.inf, 3)]
)
def test_impossible_axes_are_refused(low: float, high: float, bins: int) -> None:
    with pytest.raises(ProblemError, match="feature 'f' has low"):
        FeatureAxis("f", low, high, bins)
