"""The chance of giving up a winner, by simulation and against exact references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evolve.errors import UsageError
from evolve.racing import Race, betting_p, free_looks, looks_at, race_order, sign_tail, spending

ITEMS = 300
ALPHA = 0.05


def race(elite, alpha=ALPHA, batches=(0.125, 0.25, 0.5)):
    looks = looks_at(len(elite), batches)
    return Race(range(len(elite)), looks, alpha, elite)


def stopped_at(found, ours):
    """Items after which a candidate with these outcomes, in the order of the race, is given up; all if never."""
    for look, items in enumerate(found.looks[:-1]):
        if found.loses(look, ours[:items]):
            return items
    return len(ours)


def shuffled(rng, won, lost, both):
    """Outcomes of candidate and elite: so many items won, lost, right for both, the rest wrong for both."""
    pairs = [(1.0, 0.0)] * won + [(0.0, 1.0)] * lost + [(1.0, 1.0)] * both
    pairs += [(0.0, 0.0)] * (ITEMS - len(pairs))
    order = rng.permutation(ITEMS)
    return [pairs[i][0] for i in order], [pairs[i][1] for i in order]


@pytest.mark.parametrize(("won", "lost"), [(2, 1), (16, 15), (46, 45), (91, 90), (150, 149)])
def test_a_candidate_that_would_just_win_is_rarely_given_up(won, lost):
    rng = np.random.default_rng([won, lost])
    trials, given_up = 400, 0
    for _ in range(trials):
        ours, theirs = shuffled(rng, won, lost, 0)
        given_up += stopped_at(race(theirs), ours) < ITEMS
    # three standard errors above the promise would be 0.083; the exact tail makes it far less
    assert given_up / trials <= ALPHA


def fractions(rng, shift, noise):
    """Fractional outcomes of two programs whose means differ by exactly ``shift``."""
    theirs = rng.beta(2, 2, ITEMS) * 0.6 + 0.2
    change = rng.uniform(-noise, noise, ITEMS)
    change += shift - change.mean()
    return (theirs + change).tolist(), theirs.tolist()


@pytest.mark.parametrize("noise", [0.02, 0.15])
def test_the_same_holds_for_fractions(noise):
    rng = np.random.default_rng(7)
    trials, given_up = 200, 0
    for _ in range(trials):
        ours, theirs = fractions(rng, 1e-6, noise)
        given_up += stopped_at(race(theirs), ours) < ITEMS
    assert given_up / trials <= ALPHA


def test_a_bettor_is_wrong_as_rarely_as_he_says_with_outcomes_that_are_all_or_nothing():
    rng = np.random.default_rng(3)
    differences = np.array([1.0] * 61 + [-1.0] * 60 + [0.0] * 79)
    wrong = sum(betting_p(rng.permutation(differences)[:150].tolist(), 200) <= 0.1 for _ in range(400))
    assert wrong / 400 <= 0.1


def test_losers_are_found_early():
    rng = np.random.default_rng(5)
    used = {}
    for lost in (45, 75, 150):  # a difference of 10, 20 and 45 points, a third of the items won as often as lost
        rows = [shuffled(rng, 15, lost, 60) for _ in range(60)]
        used[lost] = float(np.mean([stopped_at(race(theirs), ours) for ours, theirs in rows])) / ITEMS
    assert used[45] < 0.65
    assert used[75] < 0.26
    assert used[150] == 38 / ITEMS
    rows = [fractions(rng, -0.05, 0.05) for _ in range(40)]
    assert np.mean([stopped_at(race(theirs), ours) for ours, theirs in rows]) < 0.8 * ITEMS


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 70), st.data())
def test_the_tail_is_the_worst_hypergeometric_one(items, data):
    seen = data.draw(st.integers(1, items - 1))
    differences = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=seen, max_size=seen))
    won, lost = differences.count(1.0), differences.count(-1.0)
    worst = 0.0
    for differing in range(max(won + lost, 1), won + lost + items - seen + 1):
        for wins in range(differing // 2 + 1, differing + 1):
            worst = max(worst, stats.hypergeom.cdf(won, differing, wins, won + lost))
    expected = 0.0 if won + items - seen <= lost else worst
    assert sign_tail(differences, items) == pytest.approx(expected, abs=1e-9)


def test_who_cannot_win_any_more_has_lost():
    assert sign_tail([-1.0] * 6, 12) == 0.0
    assert sign_tail([-1.0] * 5, 12) > 0.0
    assert betting_p([-0.5] * 8 + [-1.0], 15) > 0.0
    assert betting_p([-0.5] * 8 + [-1.0], 14) == 0.0
    assert betting_p([-1.0] * 7, 13) == 0.0
    assert betting_p([0.0] * 50, 100) == pytest.approx(1.0)


def test_equal_scores_lose_and_without_a_rival_nobody_does():
    elite = [1.0, 0.0] * 20
    found = Race(range(40), [20, 40], 0.05, elite)
    assert found.loses(0, [0.0] * 20)
    assert not found.loses(0, elite[:20])
    assert Race(range(40), [20, 40], 1.0, elite).loses(0, elite[:20])
    assert not Race(range(40), [20, 40], 0.05).loses(0, [0.0] * 20)
    assert not Race(range(39), [20, 39], 0.05, elite).loses(0, [0.0] * 20), "a rival of other items"


def test_rivals_are_read_in_the_order_of_the_race_and_travel_as_plain_data():
    found = Race([2, 0, 1], [1, 3], 0.05, (0.0, 0.5, 1.0))
    data = found.to_dict()
    assert data["rival"] == [0, 0.5, 1]
    assert type(data["rival"][0]) is int
    assert Race.from_dict(data).theirs == [1.0, 0.0, 0.5]


def test_looks_that_cost_nothing_are_where_a_full_batch_ends():
    assert free_looks(300, 128) == [44, 172, 300]
    assert free_looks(256, 128) == [128, 256]
    assert free_looks(400, 128) == [50, 144, 272, 400], "the same four batches, and a first look worth having"
    assert free_looks(100, 128) == [100]
    assert spending(free_looks(100, 128), 0.05) == [0.0]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_every_beginning_of_the_order_holds_every_stratum(labels, seed):
    items = [{"kind": label} for label in labels]
    order = race_order(items, seed)
    assert sorted(order) == list(range(len(items)))
    assert order == race_order(items, seed)
    for label in set(labels):
        share = labels.count(label) / len(labels)
        for count in range(1, len(items) + 1):
            held = sum(labels[index] == label for index in order[:count])
            assert abs(held - share * count) < 2 * len(set(labels))


def test_the_order_depends_on_the_seed_and_needs_no_strata():
    items = [{"question": str(number)} for number in range(50)]
    assert race_order(items, 0) != race_order(items, 1)
    assert race_order([], 0) == []


@pytest.mark.parametrize("batches", [[0.5, 0.25], [0.0, 0.5], [0.5, 1.5], [0.25, 0.25]])
def test_batches_must_rise(batches):
    with pytest.raises(UsageError, match="rising shares of the items"):
        looks_at(100, batches)


def test_looks_and_what_they_may_spend():
    assert looks_at(300, [0.125, 0.25, 0.5]) == [38, 75, 150, 300]
    assert looks_at(3, [0.125, 0.25, 0.5]) == [1, 2, 3]
    assert looks_at(4, []) == [4]
    assert math.fsum(spending([38, 75, 150, 300], 0.05)) == pytest.approx(0.05)
    assert spending([300], 0.05) == [0.0]


def test_the_estimate_is_the_rivals_score_plus_the_difference_so_far():
    assert Race(range(4), [2, 4], 0.05, [0.0, 1.0, 1.0, 1.0]).estimate([0.0, 0.5]) == 0.5
    assert Race(range(4), [2, 4], 0.05, [1.0, 1.0, 0.0, 0.0]).estimate([1.0, 0.0]) == 0.0
    assert Race(range(4), [2, 4], 0.05, [1.0, 1.0, 0.0, 0.0]).estimate([0.0, 0.0]) == 0.0, "never below the lowest"


def test_it_is_better_than_the_mean_so_far_for_a_relative_of_the_rival():
    rng = np.random.default_rng(1)
    by_rival, by_mean = [], []
    for _ in range(200):
        theirs = (rng.random(ITEMS) < 0.6).astype(float)
        ours = np.where(rng.random(ITEMS) < 0.15, 0.0, theirs)
        found = race(theirs.tolist())
        by_rival.append(found.estimate(ours[:38].tolist()) - ours.mean())
        by_mean.append(ours[:38].mean() - ours.mean())
    assert np.square(by_rival).mean() < 0.5 * np.square(by_mean).mean()
    assert abs(np.mean(by_rival)) < 0.01
