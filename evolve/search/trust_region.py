"""Bayesian optimisation in a box around the point that promises most, one point at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.errors import UsageError
from evolve.gaussian import Kernel, Process, Vector, squared_distances
from evolve.search.cma import reflected
from evolve.search.sharing import SharedScores

WIDEST, FIRST, NARROWEST = 1.6, 0.8, 0.05
"""Side lengths of the box; beyond 1 its place in the unit cube matters less and less."""

SUCCESSES, FAILURES = 3, 30
"""Results in a row, better or not than the best, after which the box doubles or halves."""

CANDIDATES = 200
MOVED = 12
"""How many coordinates of a candidate leave the best point, on average."""

UPHILL, CLIMB = 50, 16
"""How many candidates start along an ascent of the expected score, and its steps."""

SAMPLE = 300
"""Most results, the closest to the best point, that the process is fitted to."""

REFITTED = 8
"""Results between two choices of the kernel, which cost a fit for each combination."""

LENGTHS = (0.3, 0.6, 1.0, 1.6, 2.5, 4.0)
NOISES = (0.003, 0.03, 0.15)


class TrustRegion:
    """Thompson sampling of a Gaussian process in a box around the point that promises most, maximising.

    Source: TuRBO, Eriksson et al. 2019, arXiv:1910.01739; different from it: one length scale for all coordinates. The
    state follows from the points told, in their order, as for ``Cma``; any number of points may be in flight.
    """

    def __init__(self, start: Vector, sigma: float, seed: int, first: int | None = None, shared: int = 0) -> None:
        """The ``first`` points, size + 1 unless given, are ``start`` and points normal around it, shape (n,), n >= 1.

        Of the first ``shared`` results items that few points solve count more. Raises UsageError for bad values.
        """
        self.size = len(start)
        if self.size < 1 or not np.all((start >= 0) & (start <= 1)):
            raise UsageError("a trust region needs a start of one or more coordinates between 0 and 1")
        if not sigma > 0:
            raise UsageError(f"a trust region needs a sigma above 0, not {sigma:g}; 1/6 is usual")
        self._start, self._sigma, self._seed = np.asarray(start, dtype=np.float64), sigma, seed
        self._first = self.size + 1 if first is None else first
        self._drawn = 0
        self._asked: set[bytes] = set()
        self._points: list[Vector] = []
        self._scores = SharedScores(shared)
        self._told = 0
        self._streak = 0
        self._kernel: tuple[int, Kernel] | None = None
        self.width = FIRST
        self.best: tuple[Vector, float] | None = None

    @property
    def opening(self) -> bool:
        """Whether first points are left to ask for."""
        return self._drawn < self._first

    def ask(self) -> Vector:
        """A point to evaluate, shape (n,) in 0..1; may be asked any number of times before a tell."""
        rng = np.random.default_rng([self._seed, self._drawn])
        self._drawn += 1
        if self.best is None or self._drawn <= self._first:
            point = self._start + self._sigma * rng.standard_normal(self.size) * (self._drawn > 1)
            point = reflected(point)
        else:
            process = self._process()
            candidates = self._candidates(process, self._centre(process), rng)
            point = candidates[int(np.argmax(process.draw(candidates, rng)))]
        self._asked.add(point.tobytes())
        return point

    def _candidates(self, process: Process, centre: Vector, rng: np.random.Generator) -> Vector:
        """Points of the box, (CANDIDATES, n): most share coordinates with its centre, UPHILL lie around an ascent."""
        moved = rng.random((CANDIDATES, self.size)) < min(1.0, MOVED / self.size)
        moved[np.arange(CANDIDATES), rng.integers(self.size, size=CANDIDATES)] = True
        steps = np.where(moved, self.width * (rng.random((CANDIDATES, self.size)) - 0.5), 0.0)
        path = self._ascent(process, centre)
        steps[:UPHILL] = rng.random((UPHILL, 1)) * steps[:UPHILL] / 2 + path[rng.integers(len(path), size=UPHILL)]
        return np.asarray(np.clip(centre + steps, 0.0, 1.0))

    def _ascent(self, process: Process, centre: Vector) -> Vector:
        """Steps from the centre along the slope of the expected score, inside the box, (CLIMB, n)."""
        point, path = centre, []
        low, high = np.clip(centre - self.width / 2, 0.0, 1.0), np.clip(centre + self.width / 2, 0.0, 1.0)
        for _ in range(CLIMB):
            slope = process.gradient(point)
            point = np.clip(point + self.width / CLIMB * slope / max(float(np.abs(slope).max()), 1e-12), low, high)
            path.append(point - centre)
        return np.array(path)

    def _process(self) -> Process:
        points, scores = self._nearest(len(self._points))
        return Process(points, scores, kernel=self._chosen())

    def _chosen(self) -> Kernel:
        """The kernel of the largest likelihood when the number of results was last a multiple of ``REFITTED``."""
        count = max(len(self._points) // REFITTED * REFITTED, 1)
        if self._kernel is None or self._kernel[0] != count:
            points, scores = self._nearest(count)
            self._kernel = count, Process(points, scores, lengths=LENGTHS, noises=NOISES).kernel
        return self._kernel[1]

    def _nearest(self, count: int) -> tuple[Vector, Vector]:
        """Of the first ``count`` results the SAMPLE closest to the best of them: points (m, n) and scores (m,)."""
        points, scores = np.array(self._points[:count]), self._scores.values(count)
        centre = points[int(np.argmax(scores))]
        order = np.argsort(squared_distances(points, centre[None])[:, 0], kind="stable")[:SAMPLE]
        return points[order], scores[order]

    def _centre(self, process: Process) -> Vector:
        """The point of the highest expected score, which is less often a lucky one than that of the highest score.

        While rare items count more it is the point of the highest value: few know how to solve them.
        """
        values = self._scores.values(len(self._points)) if self._scores.shares else process.mean(np.array(self._points))
        return self._points[int(np.argmax(values))]

    def tell(self, point: Vector, score: float | None, outcomes: Sequence[float] = ()) -> None:
        """The score of a point, None where it failed, and its outcome on every item."""
        point = np.asarray(point, dtype=np.float64)
        self._answered(point, self._kept(point, score, outcomes))

    def repeated(self, point: Vector) -> None:
        """A point that came out as one told before, or in flight: it teaches nothing and is no gain."""
        self._answered(np.asarray(point, dtype=np.float64), better=False)

    def _answered(self, point: Vector, better: bool) -> None:
        if point.tobytes() in self._asked:
            self._asked.remove(point.tobytes())
        else:
            self._drawn += 1  # asked for by the process that this one continues
        self._told += 1
        if self._told > self._first:
            self._resize(better)

    def inform(self, point: Vector, score: float | None, outcomes: Sequence[float] = ()) -> None:
        """A result from elsewhere, which teaches the process."""
        self._kept(np.asarray(point, dtype=np.float64), score, outcomes)

    def _kept(self, point: Vector, score: float | None, outcomes: Sequence[float]) -> bool:
        """Whether the point is the best from now on."""
        shared = self._scores.shares
        self._points.append(point)
        self._scores.add(score, outcomes)
        if score is not None and (self.best is None or score > self.best[1]):
            self.best = (point, score)
        if shared and not self._scores.shares:  # another function from here on
            self._kernel, self._streak, self.width = None, 0, max(self.width, FIRST / 2)
        return score is not None and int(np.argmax(self._scores.values(len(self._points)))) == len(self._points) - 1

    def _resize(self, better: bool) -> None:
        self._streak = max(self._streak, 0) + 1 if better else min(self._streak, 0) - 1
        if self._streak >= SUCCESSES:
            self.width, self._streak = min(2 * self.width, WIDEST), 0
        elif self._streak <= -FAILURES:
            self.width, self._streak = self.width / 2, 0

    @property
    def stopped(self) -> bool:
        """Whether the box has become too small for anything to be left to gain."""
        return self.width < NARROWEST
