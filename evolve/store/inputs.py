"""What a run's scores depend on, as it noted it, and which programs wait for a new score since that changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from evolve.store.connection import tuples

EVENT = "inputs"

AGAIN = "again"
"""Patch and proposer of a program that is evaluated once more because what scores depend on has changed."""


def newest(connection: sqlite3.Connection) -> Mapping[str, str] | None:
    """The digests that hold, by name; None where the run noted none."""
    row = tuples(connection, "SELECT data FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1", (EVENT,)).fetchone()
    if row is None:
        return None
    found: dict[str, str] = json.loads(row[0])["digests"]
    return found


def noted(connection: sqlite3.Connection) -> int:
    """How often the run noted them: once, and once for every change."""
    return int(tuples(connection, "SELECT count(*) FROM events WHERE kind = ?", (EVENT,)).fetchone()[0])


def elites(connection: sqlite3.Connection) -> list[int]:
    """The programs that hold cells, oldest first."""
    return [row[0] for row in tuples(connection, "SELECT DISTINCT program_id FROM cells ORDER BY program_id")]


def waiting(connection: sqlite3.Connection) -> list[int]:
    """The elites of before the last change that have not been proposed again, oldest first."""
    query = """
        SELECT elite.value FROM events e, json_each(e.data, '$.elites') elite
        WHERE e.id = (SELECT max(id) FROM events WHERE kind = :kind) AND NOT EXISTS (
            SELECT 1 FROM proposals WHERE parent_id = elite.value AND patch = :again AND state <> 'abandoned'
        ) ORDER BY elite.value
    """
    return [int(row[0]) for row in tuples(connection, query, {"kind": EVENT, "again": AGAIN})]


def set_aside(connection: sqlite3.Connection) -> set[str]:
    """The seeds whose only score was made before a change."""
    query = """
        SELECT p.seed_name FROM proposals p JOIN proposals o ON o.id = coalesce(p.duplicate_of, p.id)
        LEFT JOIN evaluations e ON e.proposal_id = o.id AND e.split = 'search'
        WHERE p.seed_name IS NOT NULL AND p.state <> 'abandoned'
        GROUP BY p.seed_name HAVING sum(o.state <> 'scored' OR e.id IS NOT NULL) = 0
    """
    return {row[0] for row in tuples(connection, query)}
