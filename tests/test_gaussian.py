from __future__ import annotations

import numpy as np

from evolve.gaussian import Process, squared_distances


def test_it_finds_the_top_of_a_noisy_hill():
    rng = np.random.default_rng(0)
    points = rng.random((60, 3))
    top = np.array([0.7, 0.3, 0.5])
    scores = np.exp(-2 * ((points - top) ** 2).sum(1)) + 0.02 * rng.standard_normal(60)
    process = Process(points, scores)
    candidates = rng.random((500, 3))
    assert np.linalg.norm(candidates[process.mean(candidates).argmax()] - top) < 0.25
    start = np.array([0.3, 0.6, 0.2])
    slope = process.gradient(start)
    assert slope @ (top - start) > 0
    step = 1e-4 * slope / np.linalg.norm(slope)
    numeric = (process.mean((start + step)[None]) - process.mean((start - step)[None]))[0] / (2 * np.linalg.norm(step))
    assert np.isclose(numeric, np.linalg.norm(slope), rtol=1e-3)


def test_draws_spread_where_nothing_is_known():
    points = np.linspace(0, 0.2, 8)[:, None]
    process = Process(points, np.sin(9 * points[:, 0]))
    rng = np.random.default_rng(1)
    draws = np.array([process.draw(np.array([[0.1], [3.0]]), rng) for _ in range(200)])
    assert draws[:, 0].std() < 0.5 * draws[:, 1].std()


def test_irrelevant_levels_are_found():
    rng = np.random.default_rng(2)
    points = rng.standard_normal((80, 6)) * 0.3
    levels = np.array([0, 0, 1, 1, 2, 2])
    process = Process(points, points[:, 0] - points[:, 1], levels=levels)
    noise = np.array([[0.0, 0.0, 0.0, 0.0, 0.5, -0.5]])
    assert abs(process.mean(noise)[0] - process.mean(np.zeros((1, 6)))[0]) < 0.3


def test_equal_scores_do_no_harm():
    process = Process(np.zeros((4, 2)), np.ones(4))
    assert np.isfinite(process.draw(np.ones((3, 2)), np.random.default_rng(0))).all()


def test_distances():
    a, b = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    assert squared_distances(a, b)[0, 0] == 25.0
