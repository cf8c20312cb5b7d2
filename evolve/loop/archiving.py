"""The archive and the database together: scored programs come in, copies move between islands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evolve.evaluation import Evaluation
from evolve.loop.lifecycle import Ticket
from evolve.loop.parts import Parts
from evolve.search.archive import AddStatus, Archive, Program
from evolve.search.features import cell_key
from evolve.search.islands import Islands, Move
from evolve.store import recall
from evolve.store.records import ArchiveStatus, Cell, ScoredProgram

if TYPE_CHECKING:
    from evolve.store.database import Database


def refill(archive: Archive, database: Database) -> None:
    """Gives an empty archive what it held when the database was written last; nothing else stays in memory."""
    held = set()
    for elite in database.elites():
        archive.add(program_of(elite.program), elite.cell.island)
        held.add(elite.program.id)
    for row in database.contenders():
        archive.remember(Program(row.id, row.score, row.features, row.island))
    for program in archive.elites():
        if program.id not in held:  # its island was cleared: only the grid over all islands remembers it
            whole = program_of(database.scored(program.id))
            program.outcomes, program.children = whole.outcomes, whole.children
            program.archived_children = whole.archived_children


def program_of(row: ScoredProgram) -> Program:
    """A scored program as the archive holds it."""
    outcomes = np.array(row.outcomes, dtype=np.float64)
    children = row.children
    return Program(row.id, row.score, row.features, row.island, children.asked, children.archived, outcomes)


class Archiving:
    """Keeps the run's archive; whatever it changes there it writes down."""

    def __init__(self, parts: Parts) -> None:
        search = parts.config.search
        self._parts = parts
        evaluations = parts.database.counts().evaluations
        self._islands = Islands(
            parts.archive, search.migration_interval, search.stagnation_evaluations, evaluations=evaluations,
            fruitless=recall.fruitless(parts.database.connection),
        )  # fmt: skip

    def add(self, ticket: Ticket, evaluation: Evaluation) -> tuple[ArchiveStatus, list[Cell]]:
        """Offers a scored program to the archive; returns what became of it and the cell it took, if any."""
        archive, ask = self._parts.archive, ticket.ask
        outcomes = np.array(evaluation.outcomes, dtype=np.float64)
        program = Program(ticket.id, evaluation.score, evaluation.features, ask.island, outcomes=outcomes)
        status = archive.add(program)
        if status > AddStatus.NOT_ADDED and ask.parent is not None:
            archive.child_archived(ask.parent)
        self._islands.record(ask.island, evaluation.score)
        return status.word, [self._cell(program, ask.island)] if status > AddStatus.NOT_ADDED else []

    def move(self, rng: np.random.Generator) -> None:
        """Migration and new starts of islands, where they are due."""
        database = self._parts.database
        moves = self._islands.migrate(rng)
        if moves:
            database.put_cells(self._cells(moves))
            database.add_event("migration", {"programs": len(moves)})
        for island, arrived in self._islands.reseed(rng).items():
            database.replace_island(island, self._cells(arrived))

    def _cells(self, moves: list[Move]) -> list[Cell]:
        return [self._cell(move.program, move.island) for move in moves]

    def _cell(self, program: Program, island: int) -> Cell:
        return Cell(island, cell_key(self._parts.archive.cell(program)), program.id, program.score)
