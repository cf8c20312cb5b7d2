"""The MAP-Elites archive: one grid of elites per island, and one over all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from evolve.errors import EvolveError
from evolve.search.features import CellIndex, FeatureAxis, cell_of
from evolve.store.records import ArchiveStatus

SCORE = attrgetter("score")


class AddStatus(IntEnum):
    """What became of a program that was offered to a grid; larger is better (after pyribs)."""

    NOT_ADDED = 0
    IMPROVE_EXISTING = 1
    NEW = 2

    @property
    def word(self) -> ArchiveStatus:
        """The status as the database writes it."""
        words: tuple[ArchiveStatus, ...] = ("not_added", "improve_existing", "new")
        return words[self]


@dataclass(slots=True, eq=False)
class Program:
    """A scored program; ``island`` is the one it was born on, ``score`` is maximised.

    ``outcomes`` has one number in 0..1 per item, NaN where it was not asked, shape (items,), empty without items.
    ``children`` counts the proposals made from it, ``archived_children`` those that entered or improved a cell; the
    archive keeps both up to date.
    """

    id: int
    score: float
    features: Mapping[str, float]
    island: int = 0
    children: int = 0
    archived_children: int = 0
    outcomes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self.outcomes = np.asarray(self.outcomes, dtype=np.float64)

    def beats(self, other: Program) -> bool:
        """Whether it takes the other's cell: a higher score, or the same score and the older program."""
        return (self.score, -self.id) > (other.score, -other.id)


class Archive:
    """Grids of elites with fixed bins.

    What a grid holds depends only on the set of programs it was offered, not on their order: ties keep the older
    program, that is the lower id. So an archive read back from the database equals the one that wrote it. A program
    that is on several islands is one object; copies share its counts. The grid over all islands remembers the best
    program that any island ever had in a cell, also after an island has been cleared.
    """

    def __init__(self, axes: Sequence[FeatureAxis], islands: int = 1) -> None:
        """An empty archive. Raises EvolveError for fewer than one island."""
        if islands < 1:
            raise EvolveError(f"an archive of {islands} islands is impossible; set search.islands to 1 or more")
        self.axes = tuple(axes)
        self.size = math.prod(axis.bins for axis in self.axes)
        self._grids: list[dict[CellIndex, Program]] = [{} for _ in range(islands)]
        self._whole: dict[CellIndex, Program] = {}
        self._prospects: list[dict[CellIndex, Program]] = [{} for _ in range(islands)]
        self._held: dict[int, Program] = {}
        self._sorted: dict[int | None, tuple[Program, ...]] = {}

    @property
    def islands(self) -> range:
        return range(len(self._grids))

    def cell(self, program: Program) -> CellIndex:
        """The cell of a program. Raises EvaluatorError when it lacks a feature."""
        return cell_of(self.axes, program.features)

    def add(self, program: Program, island: int | None = None) -> AddStatus:
        """Offers a program to the island it was born on, or a copy of it to another one.

        Raises EvaluatorError when it lacks a feature.
        """
        cell = self.cell(program)
        program = self._held.get(program.id, program)
        self._offer(None, cell, program)
        return self._offer(program.island if island is None else island, cell, program)

    def remember(self, program: Program) -> AddStatus:
        """Offers a program to the grid over all islands only: for reading back an archive with cleared islands."""
        return self._offer(None, self.cell(program), self._held.get(program.id, program))

    def hope(self, program: Program) -> None:
        """Offers a program whose score is an estimate: it may be a parent where its island has no elite in its cell,
        and counts nowhere else. Raises EvaluatorError when it lacks a feature."""
        cell, grid = self.cell(program), self._prospects[program.island]
        present = grid.get(cell)
        if present is not None and not program.beats(present):
            return
        grid[cell] = self._held[program.id] = program
        if present is not None:
            self._release(cell, present)

    def clear(self, island: int) -> None:
        """Empties one island; the grid over all islands keeps what it has."""
        dropped = [*self._grid(island).items(), *self._prospects[island].items()]
        self._grids[island], self._prospects[island] = {}, {}
        self._sorted.pop(island, None)
        for cell, program in dropped:
            self._release(cell, program)

    def _offer(self, island: int | None, cell: CellIndex, program: Program) -> AddStatus:
        grid = self._grid(island)
        present = grid.get(cell)
        if present is not None and not program.beats(present):
            return AddStatus.NOT_ADDED
        grid[cell] = program
        self._held[program.id] = program
        self._sorted.pop(island, None)
        if present is None:
            return AddStatus.NEW
        self._release(cell, present)
        return AddStatus.IMPROVE_EXISTING

    def _release(self, cell: CellIndex, program: Program) -> None:
        if all(grid.get(cell) is not program for grid in (*self._grids, *self._prospects, self._whole)):
            self._held.pop(program.id, None)

    def _grid(self, island: int | None) -> dict[CellIndex, Program]:
        if island is None:
            return self._whole
        if island not in self.islands:
            raise EvolveError(f"there is no island {island}; this archive has islands 0 to {len(self._grids) - 1}")
        return self._grids[island]

    # --- offspring ---

    def begin_child(self, parent_id: int) -> None:
        """Counts a proposal made from a program; nothing happens when that is no longer an elite."""
        if parent_id in self._held:
            self._held[parent_id].children += 1

    def child_archived(self, parent_id: int) -> None:
        """Counts a child that entered or improved a cell."""
        if parent_id in self._held:
            self._held[parent_id].archived_children += 1

    # --- reading (island None: over all islands) ---

    def find(self, program_id: int) -> Program | None:
        """The elite or prospect with this id, None when it holds no cell."""
        return self._held.get(program_id)

    def elites(self, island: int | None = None) -> tuple[Program, ...]:
        """The elites, oldest first."""
        if island not in self._sorted:
            self._sorted[island] = tuple(sorted(self._grid(island).values(), key=lambda program: program.id))
        return self._sorted[island]

    def parents(self, island: int | None = None) -> tuple[Program, ...]:
        """The elites, and the prospects of cells that have none, oldest first."""
        held = self._grid(island)
        hopeful: dict[CellIndex, Program] = {}
        for grid in self._prospects if island is None else (self._prospects[island],):
            for cell, program in grid.items():
                if cell not in held and (cell not in hopeful or program.beats(hopeful[cell])):
                    hopeful[cell] = program
        if not hopeful:
            return self.elites(island)
        return tuple(sorted((*held.values(), *hopeful.values()), key=lambda program: program.id))

    def occupancy(self, island: int | None = None) -> dict[CellIndex, Program]:
        """Which program holds which cell, in the order of cells."""
        return dict(sorted(self._grid(island).items()))

    def best(self, island: int | None = None) -> Program | None:
        """The elite with the highest score, the older one of equals; None in an empty archive."""
        return max(self.elites(island), key=SCORE, default=None)  # of equals the first, and the oldest come first

    def at(self, cell: CellIndex, island: int | None = None) -> Program | None:
        """Who holds a cell, None where nobody does."""
        return self._grid(island).get(cell)

    def filled(self, island: int | None = None) -> int:
        """How many cells are occupied."""
        return len(self._grid(island))

    def coverage(self, island: int | None = None) -> float:
        """The share of occupied cells, 0..1."""
        return self.filled(island) / self.size

    def qd_score(self, island: int | None = None, *, floor: float = 0.0) -> float:
        """The sum of the elites' scores over ``floor``, the lowest possible score of the problem (after pyribs)."""
        return math.fsum(program.score - floor for program in self.elites(island))
