"""CMA-ES in the unit cube, one point at a time, with any number of points in flight."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from evolve.errors import UsageError
from evolve.gaussian import Vector

SMALLEST_STEP = 1e-3
"""Largest standard deviation of a coordinate, as a share of its range, at which nothing is left to tune."""

_SILENT = {
    "verbose": -9,
    "verb_log": 0,
    "verb_disp": 0,
    "signals_filename": "",
    "seed": math.nan,  # numpy's global generator is left alone
    "CMA_mirrors": 0,
    # Scores over few items are often equal: a flat generation is no end, its caller counts what brought nothing.
    "tolfun": 0,
    "tolfunhist": 0,
    "tolflatfitness": math.inf,
}


class Cma:
    """Covariance matrix adaptation over the package ``cma``, maximising (Hansen 2016, arXiv:1604.00772).

    The state is a function of the start and of the points told, in their order, and of nothing else: telling a new
    instance the same points brings it to the same distribution, so a resumed search goes on where it was. For this the
    cube's walls reflect a sample before it is told (a point is its own coordinates), instead of the package's
    transformation, whose inner coordinates a stored point has lost. The mean never leaves the cube.
    """

    def __init__(self, start: Vector, sigma: float, seed: int, population: int | None = None) -> None:
        """Starts at ``start``, shape (n,) in 0..1, n >= 1, with standard deviation ``sigma`` in every coordinate.

        ``population`` results make an update, 4 + ⌊3 ln n⌋ unless given. Raises UsageError for values out of range.
        """
        self.size = len(start)
        if self.size < 1 or not np.all((start >= 0) & (start <= 1)):
            raise UsageError("CMA-ES needs a start of one or more coordinates between 0 and 1")
        if not sigma > 0:
            raise UsageError(f"CMA-ES needs a sigma above 0, not {sigma:g}; 1/6 is usual")
        self.population = population or 4 + int(3 * math.log(self.size))
        if self.population < 3:
            raise UsageError(f"a population of {self.population} is too small for CMA-ES; use 3 or more")
        self._seed = seed
        self._drawn = 0
        self._asked: set[bytes] = set()
        self._results: list[tuple[Vector, float | None]] = []
        self._worst: float | None = None
        self.best: tuple[Vector, float] | None = None
        self._strategy = self._made(start, sigma)

    def _made(self, start: Vector, sigma: float) -> Any:
        import cma

        # The package refuses one dimension: a neutral second coordinate keeps it company.
        inner = np.append(start, 0.5) if self.size == 1 else np.array(start, dtype=np.float64)
        options = {**_SILENT, "popsize": self.population, "randn": self._normal}
        return cma.CMAEvolutionStrategy(inner, sigma, options)

    def _normal(self, *shape: int) -> Vector:
        return np.random.default_rng([self._seed, self._drawn]).standard_normal(shape)

    def ask(self) -> Vector:
        """A point to evaluate, shape (n,) in 0..1; may be asked any number of times before a tell."""
        sampled = np.asarray(self._strategy.ask(number=1)[0], dtype=np.float64)[: self.size]
        self._drawn += 1
        point = reflected(sampled)
        self._asked.add(point.tobytes())
        return point

    def tell(self, point: Vector, score: float | None) -> None:
        """The score of a point, None where it failed: it counts as the worst seen."""
        point = np.asarray(point, dtype=np.float64)
        if point.tobytes() in self._asked:
            self._asked.remove(point.tobytes())
        else:
            self._drawn += 1  # asked for by the process that this one continues
        if score is not None:
            self._worst = score if self._worst is None else min(self._worst, score)
            if self.best is None or score > self.best[1]:
                self.best = (point, score)
        self._results.append((point, score))
        if len(self._results) >= self.population:
            self._update()

    def _update(self) -> None:
        worst = self._worst if self._worst is not None else 0.0
        points = [self._inner(point) for point, _ in self._results]
        costs = [-(worst if score is None else score) for _, score in self._results]
        self._results = []
        self._strategy.ask(number=1)  # the package takes no results before it was asked
        self._strategy.tell(points, costs, check_points=False)

    def _inner(self, point: Vector) -> Vector:
        if self.size > 1:
            return point
        # Selection must find the neutral coordinate random, and the same again after a resume.
        chance = np.random.default_rng([self._seed, zlib.crc32(point.tobytes())]).standard_normal()
        return np.append(point, self._strategy.mean[1] + self._strategy.stds[1] * chance)

    @property
    def mean(self) -> Vector:
        """The distribution's centre, shape (n,) in 0..1."""
        return np.clip(np.asarray(self._strategy.mean, dtype=np.float64)[: self.size], 0.0, 1.0)

    @property
    def sigma(self) -> float:
        """The largest standard deviation of a coordinate."""
        return float(np.max(self._strategy.stds[: self.size]))

    @property
    def stopped(self) -> bool:
        """Whether there is nothing left to gain: steps are tiny, or the package's own criteria say so."""
        return self.sigma < SMALLEST_STEP or bool(self._strategy.stop())


def reflected(point: Vector) -> Vector:
    """A point folded into the unit cube at its walls."""
    return 1.0 - np.abs(1.0 - np.mod(point, 2.0))
