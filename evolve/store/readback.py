"""What the loop reads back from the program database it writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from evolve.store import connection as connections
from evolve.store import loading
from evolve.store.records import (
    Attempt,
    Contender,
    Cost,
    Counts,
    Elite,
    Match,
    ScoredProgram,
    StoredProgram,
    Unfinished,
)
from evolve.store.totals import Totals


class Readback:
    """The reading half of ``Database``: every method is one short look; errors of SQLite come out as RunError."""

    path: Path
    _connection: sqlite3.Connection
    _totals: Totals

    def find_source(self, digest: str, proposal_id: int = 0) -> Match | None:
        """The program with this source digest other than ``proposal_id`` that is under way, scored or failed."""
        with connections.explained(self.path):
            return loading.match_source(self._connection, digest, proposal_id)

    def find_plan(self, digest: str, proposal_id: int = 0) -> Match | None:
        """As ``find_source``, by plan digest."""
        with connections.explained(self.path):
            return loading.match_plan(self._connection, digest, proposal_id)

    def program(self, program_id: int) -> StoredProgram:
        """One program with its text and search evaluation. Raises RunError when there is none."""
        with connections.explained(self.path):
            return loading.stored(self._connection, program_id)

    def generation(self, program_id: int) -> int:
        """How many edits lie between a program and a seed. Raises RunError when there is no such program."""
        with connections.explained(self.path):
            return loading.generation(self._connection, program_id)

    def unfinished(self) -> list[Unfinished]:
        """What was under way when the last process ended, oldest first."""
        with connections.explained(self.path):
            return loading.unfinished(self._connection)

    def counts(self) -> Counts:
        """Proposals by state and evaluations used; kept in memory."""
        return self._totals.counts

    def cost(self) -> Cost:
        """Money spent on language models; kept in memory."""
        return self._totals.cost

    def elites(self) -> list[Elite]:
        """The cells of all islands with their programs; the archive is rebuilt from these."""
        with connections.explained(self.path):
            return loading.elites(self._connection)

    def contenders(self) -> Iterator[Contender]:
        """Every program with a whole score, one row at a time, for the start of a process."""
        with connections.explained(self.path):
            yield from loading.contenders(self._connection)

    def scored(self, program_id: int) -> ScoredProgram:
        """A program with a whole score. Raises RunError when it has none."""
        with connections.explained(self.path):
            return loading.scored(self._connection, program_id)

    def scored_above(self, score: float) -> list[ScoredProgram]:
        """The programs whose search score is over ``score``, in the order of ids."""
        with connections.explained(self.path):
            return loading.scored_above(self._connection, score)

    def attempt(self, proposal_id: int) -> Attempt:
        """How one proposal ended. Raises RunError while it has not."""
        with connections.explained(self.path):
            return loading.attempt(self._connection, proposal_id)

    def attempts(self) -> Iterator[Attempt]:
        """Every finished proposal in the order of its end, one row at a time, for the start of a process."""
        with connections.explained(self.path):
            yield from loading.attempts(self._connection)
