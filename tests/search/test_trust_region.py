from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.search.cma import Cma
from evolve.search.trust_region import FAILURES, FIRST, TrustRegion


def hill(point):
    """Right answers to questions that each need some coordinates to lie on the right side."""
    wanted = np.linspace(0.2, 0.8, len(point))
    away = (point - wanted) ** 2
    return float(np.mean([np.exp(-8.0 * away[part::4].sum()) for part in range(4)]))


def searched(search, score, evaluations, flying=1):
    """Asks and tells; the points in the order of their tells."""
    waiting, told = [], []
    while len(told) < evaluations:
        while len(waiting) < flying:
            waiting.append(search.ask())
        told.append(waiting.pop(0))
        search.tell(told[-1], score(told[-1]))
    return told


def test_it_needs_fewer_results_than_cma_es():
    missing = {TrustRegion: [], Cma: []}
    for seed in range(3):
        for kind, found in missing.items():
            search = kind(np.full(16, 0.5), 1 / 6, seed)
            searched(search, hill, 120)
            found.append(1.0 - search.best[1])
    assert np.mean(missing[TrustRegion]) < 0.6 * np.mean(missing[Cma]), missing


def test_the_first_points_spread_around_the_start_and_all_stay_inside():
    search = TrustRegion(np.full(4, 0.9), 1 / 6, 0, first=6)
    assert search.opening
    points = np.array(searched(search, hill, 30))
    assert (points[0] == 0.9).all()
    assert np.ptp(points[:6], axis=0).min() > 0.1
    assert not search.opening
    assert points.min() >= 0 and points.max() <= 1


def test_the_box_halves_where_nothing_is_gained_and_ends():
    search = TrustRegion(np.full(2, 0.5), 0.1, 0, first=3)
    search.tell(search.ask(), 1.0)
    searched(search, lambda point: 0.0, 2 + FAILURES)
    assert search.width == FIRST / 2
    searched(search, lambda point: 0.0, 4 * FAILURES)
    assert search.stopped


@pytest.mark.parametrize("flying", [1, 5])
def test_telling_the_same_points_again_restores_it(flying):
    first = TrustRegion(np.full(10, 0.5), 1 / 6, 3)
    told = searched(first, hill, 40, flying)
    again = TrustRegion(np.full(10, 0.5), 1 / 6, 3)
    for point in told:
        again.tell(point, hill(point))
    assert again.width == first.width
    assert again.best[1] == first.best[1]
    if flying == 1:
        assert (again.ask() == first.ask()).all()


def test_results_from_elsewhere_teach_it_and_failures_are_the_worst():
    search = TrustRegion(np.full(3, 0.1), 0.05, 1, first=0)
    for point in np.random.default_rng(0).random((30, 3)):
        search.inform(point, None if point[0] < 0.3 else -float(((point - 0.7) ** 2).sum()))
    searched(search, lambda point: -float(((point - 0.7) ** 2).sum()), 10)
    assert search.best[1] > -0.01


@pytest.mark.parametrize(("start", "sigma"), [([0.5, 1.2], 0.1), ([], 0.1), ([0.5], 0.0)])
def test_values_out_of_range_are_refused(start, sigma):
    with pytest.raises(UsageError, match="a trust region needs"):
        TrustRegion(np.array(start), sigma, 0)
