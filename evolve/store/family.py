"""The relatives of a program: the line it comes from and what was made from it; read as ``evolve.store.queries`` does.

Ablations are no relatives: they measure a program. Offspring leaves out what only tuned numbers.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from evolve.store.connection import tuples
from evolve.store.gains import TUNING


@dataclass(frozen=True, slots=True)
class Relative:
    """A program of the family; ``score`` is None without a whole evaluation of its own."""

    id: int
    parent_id: int | None
    description: str
    patch: str
    reason: str | None
    message: str | None
    score: float | None


_COLUMNS = "p.id, p.parent_id, p.description, p.patch, p.reason, p.message, e.score"
_EVALUATIONS = "LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search' AND e.stopped IS NULL"
_CHILD = f"SELECT {_COLUMNS} FROM proposals p {_EVALUATIONS} WHERE p.patch <> 'ablation' AND p.patch <> :tuning"


def _relatives(connection: sqlite3.Connection, query: str, program_id: int, limit: int = -1) -> list[Relative]:
    values: dict[str, Any] = {"id": program_id, "tuning": TUNING, "limit": limit}
    return [Relative(*row) for row in tuples(connection, query, values)]


def line(connection: sqlite3.Connection, program_id: int) -> list[Relative]:
    """The first parents from the first one on, the program itself last; no row for an unknown number."""
    query = f"""
        WITH RECURSIVE line (id, parent_id, steps) AS (
            SELECT id, parent_id, 0 FROM proposals WHERE id = :id
            UNION ALL SELECT p.id, p.parent_id, l.steps + 1 FROM line l JOIN proposals p ON p.id = l.parent_id
        )
        SELECT {_COLUMNS} FROM line l JOIN proposals p ON p.id = l.id {_EVALUATIONS} ORDER BY l.steps DESC
    """
    return _relatives(connection, query, program_id)


def best_offspring(connection: sqlite3.Connection, program_id: int, limit: int) -> list[Relative]:
    """The children and grandchildren with the highest scores, the older one of equals first."""
    query = f"""
        {_CHILD} AND e.score IS NOT NULL AND (
            p.parent_id = :id
            OR p.parent_id IN (SELECT id FROM proposals WHERE parent_id = :id AND patch <> 'ablation')
        ) ORDER BY e.score DESC, p.id LIMIT :limit
    """
    return _relatives(connection, query, program_id, limit)


def worst_child(connection: sqlite3.Connection, program_id: int) -> Relative | None:
    """The child with the lowest score, the newer one of equals."""
    query = f"{_CHILD} AND p.parent_id = :id AND e.score IS NOT NULL ORDER BY e.score, p.id DESC LIMIT 1"
    return next(iter(_relatives(connection, query, program_id)), None)


def failed_child(connection: sqlite3.Connection, program_id: int) -> Relative | None:
    """The newest child whose program failed; replies that gave no program are left out."""
    query = f"""
        {_CHILD} AND p.parent_id = :id AND p.state = 'failed' AND p.text_digest IS NOT NULL ORDER BY p.id DESC LIMIT 1
    """
    return next(iter(_relatives(connection, query, program_id)), None)
