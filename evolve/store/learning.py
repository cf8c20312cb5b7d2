"""What language models learn from and what they have learned; read on any connection, also while a run goes on."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from evolve.store import standings
from evolve.store.connection import tuples
from evolve.store.gains import TUNING

_SINCE = "p.finished_at > ? AND p.seed_name IS NULL AND p.patch <> 'ablation'"


@dataclass(frozen=True, slots=True)
class Edit:
    """What one edit did to the score; ``won`` and ``lost`` count ``items`` that it answered better and worse."""

    id: int
    parent: int
    patch: str
    description: str
    score: float
    gain: float
    won: int
    lost: int
    items: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of end without a score, with the newest message."""

    reason: str
    count: int
    message: str


@dataclass(frozen=True, slots=True)
class Scratchpad:
    """Recommendations; ``evaluations`` is how many had been made when they were asked for, at ``created``."""

    evaluations: int
    text: str
    created: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A variant of the instructions."""

    id: int
    text: str
    retired: bool


def edits(connection: sqlite3.Connection, since: str, best: int, worst: int) -> tuple[list[Edit], list[Edit]]:
    """The edits with the largest gains and those with the largest losses among what has ended after ``since``.

    Only whole evaluations count, and no moves of numbers alone; an edit without gain or loss is in neither list.
    """
    query = f"""
        SELECT p.id, p.parent_id, p.patch, p.description, e.score, e.score - a.score AS gain FROM proposals p
        CROSS JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search' AND e.stopped IS NULL
        CROSS JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search' AND a.stopped IS NULL
        WHERE {_SINCE} AND p.patch <> ? ORDER BY gain DESC, p.id
    """
    rows = tuples(connection, query, (since, TUNING)).fetchall()
    gains = [row for row in rows if row[-1] > 0][:best]
    losses = [row for row in reversed(rows) if row[-1] < 0][:worst]
    return [_edit(connection, row) for row in gains], [_edit(connection, row) for row in losses]


def _edit(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Edit:
    answers = (standings.answered(connection, number) for number in row[:2])
    items, ours, theirs = standings.paired(*answers)
    pairs = list(zip(ours, theirs, strict=True))
    won, lost = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    number, parent, patch, description, score, gain = row
    return Edit(number, parent, patch, description, score, gain, won, lost, len(items))


def troubles(connection: sqlite3.Connection, since: str, kinds: int) -> list[Trouble]:
    """The most frequent reasons why what has ended after ``since`` has no score."""
    # SQLite takes a bare column beside max() from the row with the maximum.
    query = f"""
        SELECT coalesce(p.reason, p.state), count(*), coalesce(p.message, ''), max(p.id) FROM proposals p
        WHERE {_SINCE} AND +p.state IN ('failed', 'rejected', 'duplicate')
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?
    """
    return [Trouble(*row[:3]) for row in tuples(connection, query, (since, kinds))]


def scratchpad(connection: sqlite3.Connection) -> Scratchpad | None:
    """The newest recommendations."""
    rows = tuples(connection, "SELECT evaluations, text, created FROM scratchpads ORDER BY id DESC LIMIT 1").fetchall()
    return Scratchpad(*rows[0]) if rows else None


def prompts(connection: sqlite3.Connection) -> list[Prompt]:
    """Every variant, the first one first."""
    rows = tuples(connection, "SELECT id, text, retired FROM prompts ORDER BY id")
    return [Prompt(number, text, bool(retired)) for number, text, retired in rows]


def evaluations_at_newest_prompt(connection: sqlite3.Connection) -> int:
    """How many evaluations had been used when the newest variant was made."""
    query = """
        SELECT count(*) FROM proposals
        WHERE evaluating_at IS NOT NULL AND state IN ('scored', 'failed')
            AND finished_at <= (SELECT max(created) FROM prompts)
    """
    return int(tuples(connection, query).fetchone()[0])


def prompt_of(connection: sqlite3.Connection, proposal_id: int) -> Prompt | None:
    """The variant that a proposal was asked with."""
    query = "SELECT q.id, q.text, q.retired FROM proposals p JOIN prompts q ON q.id = p.prompt_id WHERE p.id = ?"
    rows = tuples(connection, query, (proposal_id,)).fetchall()
    return Prompt(rows[0][0], rows[0][1], bool(rows[0][2])) if rows else None
