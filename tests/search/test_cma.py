"""CMA-ES one point at a time: it finds optima in any order of tells, and a retold search goes on identically."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.search.cma import Cma, reflected


def score(point, optimum):
    return -float(((point - optimum) ** 2).sum())


def searched(cma, optimum, evaluations, flying=1, shuffle=False):
    """Keeps ``flying`` points in flight; returns what was told, in order."""
    rng = np.random.default_rng(1)
    waiting, told = [], []
    while len(told) < evaluations:
        while len(waiting) < flying:
            waiting.append(cma.ask())
        point = waiting.pop(int(rng.integers(len(waiting))) if shuffle else 0)
        told.append((point, score(point, optimum)))
        cma.tell(*told[-1])
    return told


@pytest.mark.parametrize(("size", "evaluations"), [(1, 120), (2, 160), (5, 400), (12, 1200)])
def test_it_finds_an_optimum_also_in_one_dimension_and_near_a_wall(size, evaluations):
    optimum = np.linspace(0.02, 0.9, size)
    cma = Cma(np.full(size, 0.5), 1 / 6, 7)
    searched(cma, optimum, evaluations)
    assert cma.best is not None
    assert cma.best[0].shape == cma.mean.shape == (size,)
    assert np.abs(cma.best[0] - optimum).max() < 0.01
    assert np.abs(cma.mean - optimum).max() < 0.01


def test_points_in_flight_and_results_out_of_order_do_not_stop_it():
    optimum = np.array([0.2, 0.7, 0.95])
    cma = Cma(np.full(3, 0.5), 1 / 6, 3)
    told = searched(cma, optimum, 300, flying=9, shuffle=True)
    assert np.abs(cma.best[0] - optimum).max() < 0.02
    assert all(((point >= 0) & (point <= 1)).all() for point, _ in told)


@pytest.mark.parametrize("size", [1, 4])
def test_a_search_told_again_goes_on_where_it_was(size):
    optimum = np.full(size, 0.3)
    first = Cma(np.full(size, 0.6), 0.2, 5)
    told = searched(first, optimum, 23)
    again = Cma(np.full(size, 0.6), 0.2, 5)
    for point, value in told:
        again.tell(point, value)
    assert (again.mean == first.mean).all()
    assert again.sigma == first.sigma
    rest = [searched(cma, optimum, 20) for cma in (first, again)]
    assert all((a[0] == b[0]).all() for a, b in zip(*rest, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(rest[0], told, strict=False))


def test_failures_count_as_the_worst_seen():
    optimum = np.array([0.3, 0.3])
    cma = Cma(np.full(2, 0.6), 1 / 6, 1)
    for _ in range(400):
        point = cma.ask()
        cma.tell(point, None if point[0] > 0.7 or point[1] > 0.7 else score(point, optimum))
    assert np.abs(cma.best[0] - optimum).max() < 0.01
    nothing = Cma(np.full(2, 0.6), 1 / 6, 1)
    for _ in range(30):
        nothing.tell(nothing.ask(), None)
    assert nothing.best is None
    assert not nothing.stopped


def test_it_stops_at_tiny_steps_but_not_at_a_plateau():
    cma = Cma(np.array([0.5, 0.5]), 1 / 6, 2)
    searched(cma, np.array([0.4, 0.6]), 300)
    assert cma.stopped
    flat = Cma(np.array([0.5, 0.5]), 1 / 6, 2)
    for _ in range(60):
        flat.tell(flat.ask(), 0.25)
    assert not flat.stopped


def test_a_start_on_a_wall_moves_away_from_it():
    cma = Cma(np.array([0.0, 1.0]), 1 / 6, 4)
    searched(cma, np.array([0.5, 0.5]), 200)
    assert np.abs(cma.best[0] - 0.5).max() < 0.02


def test_it_leaves_the_global_generator_and_the_terminal_alone(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = np.random.get_state()[1].copy()
    searched(Cma(np.full(3, 0.5), 1 / 6, 0), np.full(3, 0.2), 60)
    assert (np.random.get_state()[1] == before).all()
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_walls_reflect():
    assert reflected(np.array([-0.25, 1.25, 0.5, 2.1])) == pytest.approx([0.25, 0.75, 0.5, 0.1])


@pytest.mark.parametrize(
    ("start", "sigma", "population", "word"),
    [([], 0.1, None, "start"), ([1.5], 0.1, None, "start"), ([0.5], 0.0, None, "sigma"), ([0.5], 0.1, 2, "population")],
)
def test_impossible_settings_are_refused(start, sigma, population, word):
    with pytest.raises(UsageError, match=word):
        Cma(np.array(start), sigma, 0, population)
