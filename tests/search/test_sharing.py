from __future__ import annotations

import numpy as np
import pytest

from evolve.search.sharing import COMMON, SharedScores
from evolve.search.trust_region import TrustRegion


def told(shared, *results):
    scores = SharedScores(shared)
    for outcomes in results:
        scores.add(None if outcomes is None else float(np.mean(outcomes)), () if outcomes is None else outcomes)
    return scores


def test_an_item_that_few_solve_counts_more():
    easy, rare = (1.0, 1.0, 0.0), (0.0, 1.0, 1.0)
    values = told(9, easy, easy, easy, rare).values(4)
    weights = 1 / (np.array([3 / 4, 1.0, 1 / 4]) + COMMON)
    assert values == pytest.approx(np.array([easy, easy, easy, rare]) @ weights / weights.sum())
    assert values[3] > values[0]


def test_later_points_change_what_earlier_ones_are_worth_but_not_what_was_told_of_them():
    scores = told(9, (1.0, 0.0), (0.0, 1.0), (0.0, 1.0))
    assert scores.values(3)[0] > scores.values(3)[1]
    assert scores.values(2)[0] == scores.values(2)[1]


def test_after_the_first_points_scores_count_as_they_are():
    scores = told(3, (1.0, 1.0, 0.0), (0.0, 0.0, 1.0), None, (1.0, 0.0, 0.0))
    assert not scores.shares
    assert scores.values(4) == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1 / 3])


def test_a_failed_point_is_worth_as_little_as_the_worst():
    assert told(9, (1.0, 0.0), None, (1.0, 1.0)).values(3)[1] == told(9, (1.0, 0.0), (1.0, 1.0)).values(2).min()
    assert told(9, None).values(1) == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("score", "outcomes"),
    [(0.7, (1.0, 0.0)), (0.5, ()), (2.0, (3.0, 1.0)), (0.0, (-1.0, 1.0)), (1.0, (1.0, 1.0, 1.0))],
)
def test_scores_that_are_no_shares_of_the_same_items_are_not_shared(score, outcomes):
    scores = told(9, (1.0, 0.0), (1.0, 0.0))
    assert scores.shares
    scores.add(score, outcomes)
    assert not scores.shares
    assert scores.values(3) == pytest.approx([0.5, 0.5, score])


def trap(point):
    """Thirty easy items, which lead away from the region where ten hard ones are solved at little cost to them."""
    easy = ((point[:3] - 0.2) ** 2).sum() + 0.12 * ((point[3:] - 0.2) ** 2).sum() < np.linspace(0.1, 0.6, 30)
    hard = ((point[3:] - 0.85) ** 2).sum() < np.linspace(0.05, 0.3, 10)
    return (*easy.astype(float), *hard.astype(float))


def ended(seed, shared):
    search = TrustRegion(np.full(6, 0.5), 1 / 6, seed, shared=shared)
    for _ in range(60):
        point = search.ask()
        outcomes = trap(point)
        search.tell(point, float(np.mean(outcomes)), outcomes)
    return search.best[1]


def test_a_search_ends_less_often_where_the_easy_items_lead():
    plain, shared = ([ended(seed, count) for seed in range(10)] for count in (0, 50))
    assert np.mean(shared) > np.mean(plain) + 0.03, (plain, shared)


def test_telling_the_same_points_again_restores_a_search_before_and_after_the_change():
    for stop in (20, 27, 28, 29, 35):
        first, points = TrustRegion(np.full(6, 0.5), 1 / 6, 1, shared=28), []
        for _ in range(stop):
            points.append(first.ask())
            first.tell(points[-1], float(np.mean(trap(points[-1]))), trap(points[-1]))
        again = TrustRegion(np.full(6, 0.5), 1 / 6, 1, shared=28)
        for point in points:
            again.tell(point, float(np.mean(trap(point))), trap(point))
        assert (again.ask() == first.ask()).all()
