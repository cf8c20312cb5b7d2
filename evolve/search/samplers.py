"""Which program becomes the next parent.

A package adds a sampler by naming a callable without arguments under the entry point group ``evolve.parent_samplers``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evolve.errors import EvolveError, UsageError
from evolve.search.archive import Archive, Program

GROUP = "evolve.parent_samplers"
SCORE_LIMIT = 1e150


class ParentSampler(Protocol):
    """Draws parents.

    ``choose`` returns an elite of ``island`` (or of any island, if the strategy says so) and draws all its randomness
    from ``rng``, so that equal archives and equal generators give equal parents. It never changes the archive. Islands
    without elites are served from the grid over all islands. Scores may be negative, equal, or of any size.
    """

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program: ...


def candidates(archive: Archive, island: int) -> tuple[Program, ...]:
    """An island's parents, those of all islands when it has none. Raises EvolveError in an empty archive."""
    found = archive.parents(island) or archive.parents()
    if not found:
        raise EvolveError("the archive is empty, so there is no parent to draw; evaluate a seed first")
    return found


def draw(programs: Sequence[Program], weights: NDArray[np.float64], rng: np.random.Generator) -> Program:
    """One program with probability proportional to its weight; ``weights`` (programs,) are finite and not all zero."""
    # What rng.choice(p=...) does, without its checks, which take longer than the rest.
    shares = (weights / weights.sum()).cumsum()
    return programs[int((shares / shares[-1]).searchsorted(rng.random(), side="right"))]


def _scores(programs: Sequence[Program]) -> NDArray[np.float64]:
    # Differences of numbers beyond this leave the range of floats; so large a score means nothing but "large".
    scores = np.array([program.score for program in programs], dtype=np.float64)
    return np.clip(scores, -SCORE_LIMIT, SCORE_LIMIT)


def _median(values: NDArray[np.float64]) -> float:
    # That of numpy, at a quarter of its time for a hundred values.
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


class Weighted:
    """p ∝ s·h: s rises with the score's distance from the median, h falls with the number of children.

    s = σ(λ(α − α₀)/scale) with α₀ the median, scale = max(MAD, 1e-6) and h = 1/(1 + children). Source: ShinkaEvolve,
    arXiv 2509.19349.
    """

    def __init__(self, sharpness: float = 10.0) -> None:
        self._sharpness = sharpness

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program:
        programs = candidates(archive, island)
        return draw(programs, self.weights(programs), rng)

    def weights(self, programs: Sequence[Program]) -> NDArray[np.float64]:
        """Unnormalised probabilities, shape (programs,)."""
        scores = _scores(programs)
        children = np.array([program.children for program in programs], dtype=np.float64)
        distance = scores - _median(scores)
        scale = max(_median(np.abs(distance)), 1e-6)
        sigmoid = np.exp(-np.logaddexp(0.0, -self._sharpness * distance / scale))
        weights: NDArray[np.float64] = sigmoid / (1.0 + children)
        return weights


class PowerLaw:
    """p ∝ (rank + 1)^−a, rank 0 being the best, the older one of equals first. Source: ShinkaEvolve."""

    def __init__(self, exponent: float = 1.0) -> None:
        self._exponent = exponent

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program:
        programs = sorted(candidates(archive, island), key=lambda program: (-program.score, program.id))
        ranks = np.arange(1, len(programs) + 1, dtype=np.float64)
        return draw(programs, ranks**-self._exponent, rng)


class UniformCell:
    """The elite of an occupied cell, every cell alike. Source: MAP-Elites, Mouret and Clune 2015, arXiv 1504.04909."""

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program:
        programs = candidates(archive, island)
        return programs[int(rng.integers(len(programs)))]


class Curiosity:
    """Cells weighted by how often their children entered or improved the archive: (1 + archived)/(2 + children).

    Source of the idea: the curiosity score of Cully and Demiris 2018, arXiv 1708.09251; here as a rate with Laplace's
    rule, which is positive for every program.
    """

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program:
        programs = candidates(archive, island)
        rates = np.array([(1 + min(p.archived_children, p.children)) / (2 + p.children) for p in programs])
        return draw(programs, rates, rng)


class ExploreExploit:
    """With probability 0.2 any elite of the island, 0.7 any elite of all islands, 0.1 one of the island by its score.

    The last is linear between the island's worst and best score. Source: OpenEvolve.
    """

    def __init__(self, explore: float = 0.2, exploit: float = 0.7) -> None:
        self._explore = explore
        self._exploit = exploit

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program:
        programs = candidates(archive, island)
        kind = rng.random()
        if kind < self._explore:
            return programs[int(rng.integers(len(programs)))]
        if kind < self._explore + self._exploit:
            everywhere = archive.parents()
            return everywhere[int(rng.integers(len(everywhere)))]
        scores = _scores(programs)
        low, high = float(scores.min()), float(scores.max())
        heights = (scores - low) / (high - low) if high > low else np.ones(len(programs))
        return draw(programs, heights + 0.01, rng)  # the worst keeps a chance


class Beam:
    """One parent until it has had ``width`` more children, then the island's best of that moment.

    Remembers the parent of each island; a new process starts again with the best.
    """

    def __init__(self, width: int = 8) -> None:
        self._width = width
        self._current: dict[int, tuple[int, int]] = {}

    def choose(self, archive: Archive, island: int, rng: np.random.Generator) -> Program:
        parent_id, drawn = self._current.get(island, (0, self._width))
        programs = candidates(archive, island)
        parent = next((program for program in programs if program.id == parent_id), None)
        if parent is None or drawn >= self._width:
            parent, drawn = max(programs, key=lambda program: (program.score, -program.id)), 0
        self._current[island] = (parent.id, drawn + 1)
        return parent


BUILT_IN: dict[str, Callable[[], ParentSampler]] = {
    "weighted": Weighted,
    "power_law": PowerLaw,
    "uniform_cell": UniformCell,
    "curiosity": Curiosity,
    "explore_exploit": ExploreExploit,
    "beam": Beam,
}


def names() -> list[str]:
    """The samplers that can be named, the built-in ones first."""
    return [*BUILT_IN, *(point.name for point in entry_points(group=GROUP) if point.name not in BUILT_IN)]


def sampler(name: str) -> ParentSampler:
    """A new sampler by name. Raises UsageError for an unknown one."""
    if name in BUILT_IN:
        return BUILT_IN[name]()
    for point in entry_points(group=GROUP):
        if point.name == name:
            made: ParentSampler = point.load()()
            return made
    known = names()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    raise UsageError(f"unknown parent sampler {name!r}; {hint}")
