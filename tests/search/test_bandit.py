"""The bandit on simulated arms: it finds the better one, the cheaper one, and the one that has become better."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.search.bandit import Bandit

SEEDS = range(5)


def played(bandit, chances, pulls, seed=0, costs=None):
    """Gains of 0.1 with the arms' chances; returns how often each was pulled."""
    rng = np.random.default_rng(seed)
    counts = Counter()
    for _ in range(pulls):
        arm = bandit.choose(rng)
        counts[arm] += 1
        gain = 0.1 * float(rng.random() < chances[arm])
        bandit.record(arm, gain, 0.0 if costs is None else costs[arm], 1.0, gain > 0, True)
    return counts


@pytest.mark.parametrize("rule", ["ucb", "thompson"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_better_of_two_arms_is_pulled_more(rule, seed):
    bandit = Bandit(["good", "bad"], rule, cost_weight=0.0)
    played(bandit, {"good": 0.7, "bad": 0.1}, 100, seed)
    assert played(bandit, {"good": 0.7, "bad": 0.1}, 100, seed + 100)["good"] > 70


@pytest.mark.parametrize("rule", ["ucb", "thompson"])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_arm_ten_times_as_dear_with_equal_gain_is_pulled_less(rule, seed):
    chances, costs = {"cheap": 0.4, "dear": 0.4}, {"cheap": 0.001, "dear": 0.01}
    counts = played(Bandit(costs, rule), chances, 200, seed, costs)
    assert counts["cheap"] > 2 * counts["dear"]
    assert played(Bandit(costs, rule, cost_weight=0.0), chances, 200, seed, costs)["dear"] > 20
    assert played(Bandit(costs, rule), {"cheap": 0.0, "dear": 0.6}, 200, seed, costs)["cheap"] < 50, "it is useless"


@pytest.mark.parametrize("rule", ["ucb", "thompson"])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_arm_that_becomes_better_is_found(rule, seed):
    bandit = Bandit(["first", "second"], rule, cost_weight=0.0)
    played(bandit, {"first": 0.8, "second": 0.1}, 150, seed)
    played(bandit, {"first": 0.05, "second": 0.8}, 100, seed + 50)
    assert played(bandit, {"first": 0.05, "second": 0.8}, 100, seed + 100)["second"] > 60


def test_the_upper_bound_is_the_published_one():
    bandit = Bandit(["a", "b"], cost_weight=0.0, decay=0.5, exploration=2.0)
    for gain in (0.4, 0.0, 0.2):
        bandit.record("a", gain, 0.0, 1.0, False, True)
    bandit.record("b", 0.1, 0.0, 1.0, False, True)
    a, b = bandit.arms["a"], bandit.arms["b"]
    assert a.mean == pytest.approx((0.25 * 0.4 + 0.2) / (0.25 + 0.5 + 1))
    names = ["a", "b"]
    rng = np.random.default_rng(0)
    assert bandit._index(a, names, rng) == pytest.approx(a.mean / 0.4 + 2 * math.sqrt(2 * math.log(4) / 3))
    assert bandit._index(b, names, rng) == pytest.approx(0.1 / 0.4 + 2 * math.sqrt(2 * math.log(4)))


def test_the_blend_with_money_and_unknown_prices():
    bandit = Bandit(["cheap", "dear", "unknown", "free"], cost_weight=0.5, exploration=0.0)
    for name, cost in (("cheap", 0.01), ("dear", 0.04), ("unknown", None), ("free", 0.0)):
        bandit.record(name, 0.2, cost, 2.0, True, True)
    rng = np.random.default_rng(0)
    names = sorted(bandit.arms)
    index = {name: bandit._index(bandit.arms[name], names, rng) for name in names}
    assert index == pytest.approx({"cheap": 1.0, "dear": 0.5 + 0.5 * 0.25, "unknown": 1.0, "free": 1.0})
    bandit.record("dear", 0.0, 0.04, 2.0, False, True)  # 0.2 of 2 calls, drawn towards 0.8 of 5 by two more
    mean, worth = 0.95 * 0.2 / (1 + 0.95), {"dear": (0.2 + 2 * 0.16) / 4, "cheap": (0.2 + 2 * 0.16) / 3}
    relative = (worth["dear"] / 0.04) / (worth["cheap"] / 0.01)
    assert bandit._index(bandit.arms["dear"], names, rng) == pytest.approx(0.5 * mean / 0.2 + 0.5 * relative)
    arms = bandit.arms
    assert arms["unknown"].gain_per_usd is None
    assert (arms["cheap"].gain_per_usd, arms["cheap"].gain_per_second) == pytest.approx((20, 0.1))
    assert arms["free"].gain_per_usd is None


def test_every_arm_is_tried_also_while_results_are_in_flight():
    bandit = Bandit(["a", "b", "c"])
    rng = np.random.default_rng(0)
    assert {bandit.choose(rng) for _ in range(3)} == {"a", "b", "c"}


def test_arms_come_and_go():
    bandit = Bandit(["a"])
    rng = np.random.default_rng(0)
    bandit.record("a", 0.5, 0.0, 1.0, True, True)
    bandit.add("b")
    bandit.add("a")
    assert bandit.arms["a"].calls == 1
    assert bandit.choose(rng) == "b"
    assert bandit.choose(rng, among=["a"]) == "a"
    bandit.drop("b")
    bandit.record("b", 0.5, 0.0, 1.0, True, True)
    assert set(bandit.arms) == {"a"}
    with pytest.raises(UsageError, match="no arm"):
        bandit.choose(rng, among=["b"])


def test_wrong_settings_are_refused():
    with pytest.raises(UsageError, match="unknown bandit rule 'best'"):
        Bandit(["a"], "best")
    with pytest.raises(UsageError, match="decay"):
        Bandit(["a"], decay=0.0)
