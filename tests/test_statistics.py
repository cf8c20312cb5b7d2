"""Against published numbers, and against definitions worked out another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from evolve.errors import UsageError
from evolve.statistics import compare, flips, mcnemar, mean_interval, paired_interval, wilson

BITS = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


# --- one program ---


def test_wilson_of_a_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I: 81 of 263
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipy(items: int, data: st.DataObject, confidence: float) -> None:
    successes = data.draw(st.integers(0, items))
    reference = stats.binomtest(successes, items).proportion_ci(confidence, method="wilson")
    assert wilson(successes, items, confidence) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_means_of_fractions_are_bootstrapped_and_repeatable() -> None:
    values = np.random.default_rng(1).beta(2, 5, size=400)
    low, high = mean_interval(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.002)
    assert mean_interval(values) == (low, high)
    assert mean_interval(values, seed=1) != (low, high)
    assert mean_interval([1.0, 0.0, 1.0]) == wilson(2, 3)


def test_few_fractions_get_an_interval_that_is_wide_enough() -> None:
    assert mean_interval([0.5]) == wilson(0.5, 1)
    assert mean_interval([0.5] * 19) == pytest.approx(wilson(9.5, 19))


# --- two programs ---


def test_a_published_paired_table() -> None:
    # Bentur et al. 2009 as analysed by Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875
    # (1 both, 1 first only, 7 second only, 12 neither): Tango's interval (-0.517, -0.026), exact McNemar 0.0703
    first = [1] + [1] + [0] * 7 + [0] * 12
    second = [1] + [0] + [1] * 7 + [0] * 12
    found = compare(first, second)
    assert (found.items, found.won, found.lost) == (21, 1, 7)
    assert found.difference == pytest.approx(-6 / 21)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert found.p_value == pytest.approx(0.0703, abs=5e-5)


def profile_statistic(won: int, lost: int, items: int, difference: float) -> float:
    """The score statistic with the restricted maximum-likelihood estimate found numerically."""

    def negative_likelihood(losing: float) -> float:
        winning = losing + difference
        rest = 1 - winning - losing
        terms = [(won, winning), (lost, losing), (items - won - lost, rest)]
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    losing = optimize.minimize_scalar(negative_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * losing + difference - difference**2) / items
    return ((won - lost) / items - difference) / math.sqrt(variance)


@pytest.mark.parametrize(("won", "lost", "items"), [(1, 7, 21), (40, 20, 160), (3, 3, 30), (12, 1, 250), (5, 4, 9)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_bounds_are_where_the_score_test_just_rejects(won: int, lost: int, items: int, confidence: float) -> None:
    low, high = paired_interval(won, lost, items, confidence)
    z = stats.norm.ppf((1 + confidence) / 2)
    assert profile_statistic(won, lost, items, low) == pytest.approx(z, abs=1e-4)
    assert profile_statistic(won, lost, items, high) == pytest.approx(-z, abs=1e-4)


@pytest.mark.parametrize(("p_win", "p_lose", "items"), [(0.1, 0.05, 100), (0.3, 0.3, 50), (0.02, 0.02, 300)])
def test_the_paired_interval_covers_as_often_as_it_says(p_win: float, p_lose: float, items: int) -> None:
    covered = 0.0
    table = stats.multinomial(items, [p_win, p_lose, 1 - p_win - p_lose])
    likely = [range(max(0, int(p * items) - 12), int(p * items) + 13) for p in (p_win, p_lose)]
    for won, lost in itertools.product(*likely):
        if won + lost <= items:
            low, high = paired_interval(won, lost, items)
            covered += table.pmf([won, lost, items - won - lost]) * (low <= p_win - p_lose <= high)
    assert 0.92 < covered < 0.99


@given(BITS, st.data())
def test_comparisons_are_antisymmetric_and_consistent(first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(first), max_size=len(first)))
    ours, theirs = compare(first, second), compare(second, first)
    assert -1 <= ours.low <= ours.difference <= ours.high <= 1
    assert (ours.low, ours.high) == pytest.approx((-theirs.high, -theirs.low), abs=1e-9)
    assert (ours.p_value, ours.won, ours.lost) == (theirs.p_value, theirs.lost, theirs.won)


def test_without_flips_the_interval_is_symmetric_and_not_empty() -> None:
    found = compare([1.0] * 44, [1.0] * 44)
    # z²/(n + z²) by Tango's equation at p = 0
    assert (found.low, found.high) == pytest.approx((-0.0803, 0.0803), abs=5e-5)
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert compare([1.0] * 9, [0.0] * 9).high == 1.0
    assert compare([0.0] * 9, [1.0] * 9).low == -1.0


def test_pairing_sees_what_single_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    second = (rng.random(300) < 0.5).astype(float)
    first = second.copy()
    first[np.flatnonzero(second == 0)[:15]] = 1.0
    found = compare(first, second)
    assert found.low > 0
    assert mean_interval(first).low < mean_interval(second).high


def test_fractions_are_compared_by_paired_bootstrap() -> None:
    rng = np.random.default_rng(0)
    second = rng.random(200) * 0.8
    first = second + 0.05 + 0.05 * rng.random(200)
    found = compare(first, second)
    assert found.low < found.difference < found.high
    assert found.difference == pytest.approx(0.075, abs=0.005)
    assert found.high - found.low < 0.01
    assert found.method == "paired bootstrap, 10000 resamples"
    assert found.p_value < 1e-50
    assert compare(first, second) == found


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_binomial_test(won: int, lost: int) -> None:
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_many_items_does_not_overflow() -> None:
    assert 0 < mcnemar(2000, 2100) < 1
    assert mcnemar(0, 3000) == 0.0


def test_flips_name_the_items() -> None:
    assert flips([1, 0, 0.5, 1], [0, 1, 0.25, 1]) == ((0, 2), (1,))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([], [], "no outcomes to judge"),
        ([1.0], [1.0, 0.0], "1 and 2 outcomes cannot be paired"),
        ([1.5], [1.0], "between 0 and 1"),
        ([math.nan], [1.0], "between 0 and 1"),
    ],
)
def test_what_cannot_be_compared(first: list[float], second: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare(first, second)


def test_impossible_arguments() -> None:
    with pytest.raises(UsageError, match="confidence of 1"):
        wilson(1, 2, 1.0)
    with pytest.raises(UsageError, match="3 successes of 2 items"):
        wilson(3, 2)
    with pytest.raises(UsageError, match="2 won and 1 lost of 2 items"):
        paired_interval(2, 1, 2)
