"""Steps learned from scored programs: a Gaussian process over the knobs they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.propose.mutator.draft import Draft
from evolve.propose.mutator.literals import set_knobs
from evolve.propose.mutator.perturb import Edit, random_step
from evolve.propose.mutator.space import Space, Vector, describe, scored_points, space_of

SMALLEST_SAMPLE = 4
LARGEST_SAMPLE = 160
CANDIDATES = 192
_LENGTHS = (0.15, 0.3, 0.6, 1.2, 2.4)
_NOISES = (0.02, 0.1, 0.3)
_JITTER = 1e-8


class Process:
    """A Gaussian process with a squared-exponential kernel, fitted to points in the unit cube.

    Length scale and noise are those of the largest marginal likelihood on a small grid. Scores are standardised; ones
    far below the median are raised to it, since how badly a collapsed model fails says nothing about the rest.
    """

    def __init__(self, points: Vector, scores: Vector) -> None:
        self.points = points
        top, middle = float(scores.max()), float(np.median(scores))
        clipped = np.maximum(scores, middle - 1.5 * max(top - middle, 1e-9))
        self._targets = (clipped - clipped.mean()) / max(float(clipped.std()), 1e-9)
        scale = np.sqrt(points.shape[1])
        distances = _squared_distances(points, points)
        fits = [self._fit(distances, length * scale, noise) for length in _LENGTHS for noise in _NOISES]
        self._likelihood, self.length, self._cholesky, self._weights = max(fits, key=lambda fit: fit[0])

    def _fit(self, distances: Vector, length: float, noise: float) -> tuple[float, float, Vector, Vector]:
        kernel = np.exp(-0.5 * distances / length**2)
        cholesky = np.asarray(np.linalg.cholesky(kernel + noise * np.eye(len(kernel))), dtype=np.float64)
        weights = np.asarray(np.linalg.solve(cholesky.T, np.linalg.solve(cholesky, self._targets)))
        likelihood = -0.5 * float(self._targets @ weights) - float(np.log(np.diag(cholesky)).sum())
        return likelihood, length, cholesky, weights

    def draw(self, candidates: Vector, rng: np.random.Generator) -> Vector:
        """One function from the posterior, at the candidates (Thompson sampling)."""
        cross = np.exp(-0.5 * _squared_distances(candidates, self.points) / self.length**2)
        mean = cross @ self._weights
        half = np.linalg.solve(self._cholesky, cross.T)
        covariance = np.exp(-0.5 * _squared_distances(candidates, candidates) / self.length**2) - half.T @ half
        values, vectors = np.linalg.eigh(covariance)
        spread = vectors * np.sqrt(np.maximum(values, _JITTER))
        return np.asarray(mean + spread @ rng.standard_normal(len(mean)))


def _squared_distances(a: Vector, b: Vector) -> Vector:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))


def _candidates(space: Space, here: Vector, points: Vector, scores: Vector, rng: np.random.Generator) -> Vector:
    """Steps from the parent and from the best points, and differences of good points."""
    best = points[np.argsort(-scores, kind="stable")[: max(3, len(points) // 4)]]
    found = []
    for index in range(CANDIDATES):
        start = here if index % 2 else best[rng.integers(len(best))]
        if index % 5 == 0 and len(best) > 1:
            first, second = rng.permutation(len(best))[:2]
            start = start + rng.uniform(0.2, 0.9) * (best[first] - best[second])
        point = np.abs(start + random_step(space, rng)) % 2.0
        found.append(np.where(point > 1.0, 2.0 - point, point))
    return np.array(found)


def learned_step(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Knob values that one plausible function through the scores of similar programs likes best."""
    space = space_of(draft)
    own = draft.scope.request.parent.score
    points, scores = scored_points(space, draft.scope.pool)
    if not space.size or own is None or len(points) + 1 < SMALLEST_SAMPLE:
        return None
    here = space.here()
    sample, targets = _nearest([here, *points], [own, *scores])
    candidates = _candidates(space, here, sample, targets, rng)
    chosen = candidates[int(np.argmax(Process(sample, targets).draw(candidates, rng)))]
    values = space.values(chosen)
    text = describe("learned step", space, values)
    return (draft.with_tree(set_knobs(draft.tree, values)), text) if text else None


def _nearest(points: Sequence[Vector], scores: Sequence[float]) -> tuple[Vector, Vector]:
    """The points closest to the first one, at most LARGEST_SAMPLE."""
    array, targets = np.array(points), np.array(scores)
    order = np.argsort(((array - array[0]) ** 2).sum(1), kind="stable")[:LARGEST_SAMPLE]
    return array[order], targets[order]
