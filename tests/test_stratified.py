"""Intervals of weighted means of tasks: what they reduce to, and how often they are right."""

from __future__ import annotations

import random

import pytest

from evolve.errors import UsageError
from evolve.statistics import compare, mean_interval, wilson
from evolve.stratified import Strata, weighted_compare, weighted_interval, weighted_score_interval

DRAWS = 2_000
STRATA = Strata(("a",) * 60 + ("b",) * 30 + ("c",) * 40, {"a": 1.0, "b": 3.0, "c": 0.5})


def test_the_mean_weighs_tasks_and_not_items():
    strata = Strata(("a", "b", "a", "a"), {"b": 2.0})
    assert strata.mean([1, 0, 1, 0]) == pytest.approx(2 / 9)
    assert strata.shares() == pytest.approx([1 / 3, 2 / 3])
    assert strata.part([1, 3]).mean([0, 1]) == pytest.approx(1 / 3)


def test_equal_weights_and_counts_are_plain():
    assert Strata(("a", "b", "a", "b"), {}).plain
    assert Strata(("a", "a", "b"), {"a": 2.0, "b": 1.0}).plain
    assert not Strata(("a", "a", "b"), {}).plain
    assert not Strata(("a", "b"), {"a": 2.0}).plain


def test_one_task_gives_the_ordinary_interval_and_comparison():
    strata = Strata(("a",) * 25, {"a": 7.0})
    ours, theirs = [1.0] * 15 + [0.0] * 10, [0.0] * 6 + [1.0] * 12 + [0.0] * 7
    assert weighted_interval(strata, ours) == pytest.approx(wilson(15, 25))
    found, plain = weighted_compare(strata, ours, theirs), compare(ours, theirs)
    assert (found.difference, found.low, found.high) == pytest.approx((plain.difference, plain.low, plain.high))
    assert found.p_value == pytest.approx(plain.p_value, abs=0.02)


def test_two_tasks_combine_by_the_published_formula():
    strata = Strata(("a",) * 10 + ("b",) * 20, {"a": 1.0, "b": 3.0})
    outcomes = [1.0] * 9 + [0.0] + [1.0] * 4 + [0.0] * 16
    (low_a, high_a), (low_b, high_b) = wilson(9, 10), wilson(4, 20)
    found = weighted_interval(strata, outcomes)
    mean = 0.25 * 0.9 + 0.75 * 0.2
    assert found.low == pytest.approx(mean - ((0.25 * (0.9 - low_a)) ** 2 + (0.75 * (0.2 - low_b)) ** 2) ** 0.5)
    assert found.high == pytest.approx(mean + ((0.25 * (high_a - 0.9)) ** 2 + (0.75 * (high_b - 0.2)) ** 2) ** 0.5)


def test_only_a_score_that_is_the_weighted_mean_has_an_interval():
    outcomes = [1.0] * 60 + [0.0] * 70
    assert weighted_score_interval(STRATA, sum(outcomes) / 130, outcomes) is None
    assert weighted_score_interval(STRATA, STRATA.mean(outcomes), outcomes[:50]) is None
    assert weighted_score_interval(STRATA, STRATA.mean(outcomes), outcomes) is not None
    with pytest.raises(UsageError, match="3 outcomes for 130 items"):
        weighted_interval(STRATA, [1, 0, 1])


def test_fractional_outcomes_of_small_tasks_are_bounded_too():
    strata = Strata(("a",) * 12 + ("b",) * 8, {"a": 2.0})
    rng = random.Random(4)
    outcomes = [rng.random() for _ in strata.tasks]
    low, high = weighted_interval(strata, outcomes)
    assert 0 < low < strata.mean(outcomes) < high < 1
    assert high - low > mean_interval(outcomes * 4).high - mean_interval(outcomes * 4).low


def test_the_interval_covers_the_weighted_mean():
    chances = {"a": 0.9, "b": 0.35, "c": 0.6}
    truth = (0.9 + 3 * 0.35 + 0.5 * 0.6) / 4.5
    rng, covered = random.Random(11), 0
    for _ in range(DRAWS):
        low, high = weighted_interval(STRATA, [float(rng.random() < chances[task]) for task in STRATA.tasks])
        covered += low <= truth <= high
    assert 0.94 <= covered / DRAWS <= 0.97


def test_the_paired_interval_covers_the_weighted_difference(monkeypatch):
    # The p-value is not what is counted here, and it takes longest.
    monkeypatch.setattr("evolve.stratified.RESAMPLES", 0)
    # chances that only the first, only the second, and both are right
    chances = {"a": (0.10, 0.05, 0.7), "b": (0.25, 0.10, 0.2), "c": (0.05, 0.15, 0.5)}
    truth = (0.05 + 3 * 0.15 - 0.5 * 0.10) / 4.5
    rng, covered = random.Random(12), 0
    for _ in range(DRAWS):
        ours, theirs = [], []
        for task in STRATA.tasks:
            first, second, both = chances[task]
            draw = rng.random()
            ours.append(float(draw < first or first + second <= draw < first + second + both))
            theirs.append(float(first <= draw < first + second + both))
        found = weighted_compare(STRATA, ours, theirs)
        covered += found.low <= truth <= found.high
    assert 0.94 <= covered / DRAWS <= 0.97


def test_the_p_value_is_small_only_for_a_difference_that_counts():
    same = [1.0, 0.0] * 65
    assert weighted_compare(STRATA, same, same).p_value == 1.0
    better = [1.0] * 130
    assert weighted_compare(STRATA, better, [0.0 if task == "b" else 1.0 for task in STRATA.tasks]).p_value < 0.001
    even = [float(index % 2) for index in range(130)]
    assert weighted_compare(STRATA, even, [1 - value for value in even]).p_value > 0.3
