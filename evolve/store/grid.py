"""The MAP-Elites grid as the database holds it; read as ``evolve.store.queries`` does."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolve.errors import RunError, UsageError
from evolve.features import CellIndex, FeatureAxis, parse_key
from evolve.store.connection import dicts, tuples

Row = dict[str, Any]

# The view without the evaluation's long columns.
_ELITES = """
    SELECT c.island, c.cell, c.program_id AS program, c.score, p.island AS born_on, p.generation, p.patch, p.proposer,
           p.description
    FROM cells c JOIN proposals p ON p.id = c.program_id {where} ORDER BY c.score, c.program_id DESC
"""


@dataclass(frozen=True)
class Grid:
    """Who holds each occupied cell: a row with ``island``, ``program``, ``score`` (maximised) and where it comes from.

    Over several islands a cell shows the best of what they hold now; what an island held before it was emptied is not
    in it.
    """

    axes: tuple[FeatureAxis, ...]
    islands: tuple[int, ...]
    elites: dict[CellIndex, Row]

    @property
    def size(self) -> int:
        """How many cells there are."""
        return math.prod(axis.bins for axis in self.axes)

    @property
    def coverage(self) -> float:
        """The share of occupied cells, 0..1."""
        return len(self.elites) / self.size

    @property
    def best(self) -> Row | None:
        """The elite with the highest score, the older one of equals."""
        return max(self.elites.values(), key=lambda row: (row["score"], -row["program"]), default=None)

    def qd_score(self, floor: float) -> float:
        """The sum of the elites' scores over ``floor``, the lowest possible one (after pyribs)."""
        return math.fsum(row["score"] - floor for row in self.elites.values())


def read(connection: sqlite3.Connection, axes: Sequence[FeatureAxis], island: int | None = None) -> Grid:
    """The grid of one island, or of all together. Raises UsageError for an island without cells, RunError for cells
    that the axes do not have."""
    known = tuple(row[0] for row in tuples(connection, "SELECT DISTINCT island FROM cells ORDER BY island"))
    if island is not None and island not in known:
        held = ", ".join(map(str, known)) or "none yet"
        raise UsageError(f"island {island} holds no cell in this run; islands that do: {held}")
    where, values = ("", ()) if island is None else ("WHERE c.island = ?", (island,))
    elites: dict[CellIndex, Row] = {}
    for row in dicts(connection, _ELITES.format(where=where), values):
        cell = parse_key(row.pop("cell"))
        if len(cell) != len(axes) or any(part >= axis.bins for part, axis in zip(cell, axes, strict=True)):
            bins = " x ".join(str(axis.bins) for axis in axes) or "one cell"
            raise RunError(
                f"cell {cell} of program {row['program']} is not in the grid of the problem ({bins}); its problem.toml "
                "was changed after the run began, put the old one back"
            )
        elites[cell] = row  # the best of a cell comes last
    return Grid(tuple(axes), known if island is None else (island,), dict(sorted(elites.items())))
