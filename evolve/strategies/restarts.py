"""CMA-ES that begins anew where it has converged, with notes from which a resumed run restores it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from evolve.gaussian import Vector
from evolve.search.cma import Cma
from evolve.strategies.base import Told

MAX_POPULATION = 256
STALE_POPULATIONS = 2
"""Populations in a row without anything new after which a search has converged, whatever its step size."""


class Restarts:
    """CMA-ES with restarts from the same start, the population doubled each time.

    A start has ended when its steps are tiny, or when all it proposes is known already (points that round to the same
    program). The state follows from what was told. Source: A restart CMA evolution strategy with increasing population
    size, Auger and Hansen 2005; there the new start is uniform in the bounds, here it is the first one, because most
    merges far from it are broken models.
    """

    def __init__(self, start: Vector, sigma: float, seed: int, name: str = "", population: int = 0) -> None:
        """``start`` has shape (n,) in 0..1; ``name`` marks its points; ``population`` 0 means 4 + ⌊3 ln n⌋."""
        self._start, self._sigma, self._seed, self._name = start, sigma, seed, name
        self._population = population
        self.restarts = 0
        self.best: tuple[Vector, float] | None = None
        self._begin()

    def _begin(self) -> None:
        seed = zlib.crc32(f"{self._seed} {self._name} {self.restarts}".encode())
        self.cma = Cma(self._start, self._sigma, seed, self._population or None)
        self._stale = 0

    def ask(self) -> tuple[Vector, dict[str, Any]]:
        """A point, shape (n,) in 0..1, and the note to tell its result with."""
        point = self.cma.ask()
        return point, {"search": self._name, "restart": self.restarts, "point": point.tolist()}

    def owns(self, note: Mapping[str, Any]) -> bool:
        """Whether a note is of a point of this search, of any of its starts."""
        return "point" in note and note.get("search") == self._name

    def tell(self, told: Told) -> None:
        """The result of a point that this search owns; one of an earlier start only counts for ``best``."""
        point = np.array(told.note["point"], dtype=np.float64)
        if told.score is not None and (self.best is None or told.score > self.best[1]):
            self.best = (point, told.score)
        if told.note["restart"] != self.restarts:
            return
        self.cma.tell(point, told.score)
        self._stale = 0 if told.used else self._stale + 1
        if self.cma.stopped or self._stale >= STALE_POPULATIONS * self.cma.population:
            self.restarts += 1
            self._population = min(2 * self.cma.population, MAX_POPULATION)
            self._begin()
