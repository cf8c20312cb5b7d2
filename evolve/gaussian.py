"""A Gaussian process over points and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

LENGTHS = (0.15, 0.35, 0.8, 1.6)
NOISES = (0.03, 0.2)
_RELEVANCES = ((1.0, 1.0, 1.0), (1.0, 0.6, 0.35), (1.0, 0.35, 0.15))
"""How strongly points may depend on entries of each level: a change of the whole model matters more than an equally
long one of scattered sites, whose effects partly cancel."""

_JITTER = 1e-8


class Kernel(NamedTuple):
    """What the likelihood chose: length scale, noise (as a share of the amplitude), and which relevances."""

    length: float
    noise: float
    relevance: int = 0


class Process:
    """A Gaussian process with a squared-exponential kernel.

    ``points`` is (n, d), ``scores`` (n,), ``levels`` (d,) of 0, 1, 2. Length scale, noise and relevance of the levels
    are those of the largest marginal likelihood on a small grid, or those of ``kernel``; the amplitude is its best at
    each of them. Scores are standardised; ones far below the median are raised to it, since how badly a collapsed model
    fails says nothing about the rest. Source: Rasmussen and Williams 2006, algorithm 2.1 and section 5.4.1.
    """

    def __init__(
        self,
        points: Vector,
        scores: Vector,
        levels: npt.NDArray[np.int64] | None = None,
        lengths: Sequence[float] = LENGTHS,
        noises: Sequence[float] = NOISES,
        kernel: Kernel | None = None,
    ) -> None:
        top, middle = float(scores.max()), float(np.median(scores))
        clipped = np.maximum(scores, middle - 1.5 * max(top - middle, 1e-9))
        self._targets = (clipped - clipped.mean()) / max(float(clipped.std()), 1e-9)
        relevances = [np.ones(points.shape[1])] if levels is None else [np.array(r)[levels] for r in _RELEVANCES]
        kernels = [kernel] if kernel is not None else []
        kernels = kernels or [Kernel(a, b, index) for index in range(len(relevances)) for a in lengths for b in noises]
        distances = {
            index: squared_distances(points * relevances[index], points * relevances[index])
            for index in {one.relevance for one in kernels}
        }
        fits = [(*self._fit(distances[one.relevance], one), one) for one in kernels]
        _, self._amplitude, self._cholesky, self._weights, self.kernel = max(fits, key=lambda fit: fit[0])
        self._relevance = relevances[self.kernel.relevance]
        self._points = points * self._relevance

    def _fit(self, distances: Vector, kernel: Kernel) -> tuple[float, float, Vector, Vector]:
        covariance = np.exp(-0.5 * distances / kernel.length**2) + kernel.noise * np.eye(len(distances))
        cholesky = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        weights = np.asarray(np.linalg.solve(cholesky.T, np.linalg.solve(cholesky, self._targets)), dtype=np.float64)
        amplitude = max(float(self._targets @ weights) / len(distances), _JITTER)
        likelihood = -0.5 * len(distances) * float(np.log(amplitude)) - float(np.log(np.diag(cholesky)).sum())
        return likelihood, amplitude, cholesky, weights

    def mean(self, candidates: Vector) -> Vector:
        """The expected score at the candidates (m, d), in standard deviations of the scores."""
        return np.asarray(self._kernel(candidates * self._relevance, self._points) @ self._weights)

    def _kernel(self, left: Vector, right: Vector) -> Vector:
        return np.asarray(np.exp(-0.5 * squared_distances(left, right) / self.kernel.length**2))

    def gradient(self, point: Vector) -> Vector:
        """The slope of the mean at a point, (d,)."""
        scaled = point * self._relevance
        pull = self._kernel(scaled[None], self._points)[0] * self._weights
        return np.asarray(pull @ (self._points - scaled) / self.kernel.length**2 * self._relevance)

    def draw(self, candidates: Vector, rng: np.random.Generator, spread: float = 1.0) -> Vector:
        """One function from the posterior at the candidates (m, d); ``spread`` scales its departure from the mean."""
        candidates = candidates * self._relevance
        cross = self._kernel(candidates, self._points)
        half = np.linalg.solve(self._cholesky, cross.T)
        covariance = self._kernel(candidates, candidates) - half.T @ half
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(self._amplitude * np.maximum(values, _JITTER))
        return np.asarray(cross @ self._weights + spread * (root @ rng.standard_normal(len(candidates))))


def squared_distances(a: Vector, b: Vector) -> Vector:
    """Squared Euclidean distances between the rows of two matrices."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))
