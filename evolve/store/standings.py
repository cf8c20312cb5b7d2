"""What is known of programs from several splits, or from a part of one; read as ``evolve.store.queries`` does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from evolve.errors import RunError
from evolve.store import outcomes as packed
from evolve.store.connection import tuples

# Most programs stand as the index on the score has them, and it is left after ``limit`` of those; the few that were
# evaluated on fresh items are looked up one by one.
_BEST = """
    SELECT proposal_id FROM (
        SELECT * FROM (
            SELECT e.proposal_id, e.score AS standing
            FROM evaluations e CROSS JOIN proposals p ON p.id = e.proposal_id
            WHERE e.split = 'search' AND e.stopped IS NULL AND p.patch <> 'ablation' AND NOT EXISTS (
                SELECT 1 FROM evaluations f WHERE f.proposal_id = e.proposal_id AND f.split = 'fresh')
            ORDER BY e.score DESC, e.proposal_id LIMIT :limit
        )
        UNION ALL
        SELECT s.proposal_id, s.standing FROM evaluations v CROSS JOIN standings s ON s.proposal_id = v.proposal_id
        WHERE v.split = 'fresh'
    ) ORDER BY standing DESC, proposal_id LIMIT :limit
"""


def _tuples(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    return tuples(connection, query, values).fetchall()


def standing(connection: sqlite3.Connection, program_id: int) -> float:
    """The mean over the items of ``search`` and ``fresh``, or the search score where there is no other.

    Raises RunError for a program without a whole evaluation.
    """
    rows = _tuples(connection, "SELECT standing FROM standings WHERE proposal_id = ?", (program_id,))
    if not rows:
        raise RunError(f"program {program_id} has no whole evaluation on the search split; name one that is scored")
    return float(rows[0][0])


def verified(connection: sqlite3.Connection) -> set[int]:
    """The programs that were evaluated on fresh items."""
    return {row[0] for row in _tuples(connection, "SELECT proposal_id FROM evaluations WHERE split = 'fresh'")}


def best(connection: sqlite3.Connection, limit: int) -> list[int]:
    """The programs with the highest standing, the older ones of equals first."""
    return [row[0] for row in tuples(connection, _BEST, {"limit": limit})]


class Standing(NamedTuple):
    """A program with its mean over ``items``, of which the share ``searched`` are of the search split."""

    program: int
    mean: float
    items: int
    searched: float


def elites(connection: sqlite3.Connection) -> list[Standing]:
    """Every program that holds a cell, the one with the highest standing first."""
    rows = _tuples(
        connection,
        "SELECT s.proposal_id, s.standing, s.items, 1.0 * e.items / max(s.items, 1) FROM standings s "
        "JOIN evaluations e ON e.proposal_id = s.proposal_id AND e.split = 'search' "
        "WHERE s.proposal_id IN (SELECT program_id FROM cells) ORDER BY s.standing DESC, s.proposal_id",
    )
    return [Standing(*row) for row in rows]


def drop(connection: sqlite3.Connection) -> float | None:
    """How much lower than on the search items programs scored on fresh ones, on average; None where none was tried."""
    rows = _tuples(
        connection,
        "SELECT avg(e.score - f.score) FROM evaluations f "
        "JOIN evaluations e ON e.proposal_id = f.proposal_id AND e.split = 'search' WHERE f.split = 'fresh'",
    )
    return None if rows[0][0] is None else float(rows[0][0])


def pooled(connection: sqlite3.Connection, program_id: int, splits: Iterable[str]) -> float | None:
    """The mean over the items of several splits together; None unless each has a whole evaluation with outcomes."""
    total, items = 0.0, 0
    for split in splits:
        rows = _tuples(
            connection,
            "SELECT outcomes, items FROM evaluations "
            "WHERE proposal_id = ? AND split = ? AND stopped IS NULL AND items > 0",
            (program_id, split),
        )
        if not rows:
            return None
        total += sum(packed.unpack(*rows[0]))
        items += rows[0][1]
    return total / items if items else None


def racing_order(connection: sqlite3.Connection) -> list[int]:
    """The order of the search items that candidates are raced in; empty where none was."""
    rows = _tuples(connection, "SELECT data FROM events WHERE kind = 'racing' ORDER BY id LIMIT 1")
    return list(json.loads(rows[0][0])["order"]) if rows else []


class Lost(NamedTuple):
    """A program that lost a race: its evaluation's number, estimated ``score``, how many children it has, and its
    ``outcomes`` on the first items of the racing order."""

    evaluation: int
    program: int
    island: int
    score: float
    features: dict[str, float]
    children: int
    outcomes: tuple[float, ...]


def raced(connection: sqlite3.Connection, after: int) -> Iterator[Lost]:
    """Who lost a race in evaluations numbered over ``after``, in their order; not what an island had before it was
    emptied."""
    query = """
        SELECT e.id, p.id, p.island, e.score, e.features,
               (SELECT count(*) FROM proposals c WHERE c.parent_id = p.id AND c.state <> 'abandoned'),
               e.outcomes, e.items
        FROM evaluations e CROSS JOIN proposals p ON p.id = e.proposal_id
        WHERE e.id > ? AND +e.split = 'search' AND e.stopped = 'raced' AND NOT EXISTS (
            SELECT 1 FROM events v
            WHERE v.kind = 'reseed' AND json_extract(v.data, '$.island') = p.island AND v.created > e.created)
        ORDER BY e.id
    """
    for number, program, island, score, features, children, blob, items in tuples(connection, query, (after,)):
        yield Lost(number, program, island, score, json.loads(features), children, packed.unpack(blob, items))


def answered(connection: sqlite3.Connection, program_id: int, split: str = "search") -> dict[int, float]:
    """A program's outcome on each item that it answered, counted from 0 in the split's file; its original's for a
    duplicate.

    A partial evaluation holds the first items of the racing order.
    """
    rows = _tuples(
        connection,
        "SELECT e.outcomes, e.items, e.stopped FROM proposals p "
        "JOIN evaluations e ON e.proposal_id = coalesce(p.duplicate_of, p.id) WHERE p.id = ? AND e.split = ?",
        (program_id, split),
    )
    if not rows:
        return {}
    blob, items, stopped = rows[0]
    return dict(zip(racing_order(connection) if stopped else range(items), packed.unpack(blob, items), strict=False))


def paired(ours: dict[int, float], theirs: dict[int, float]) -> tuple[list[int], list[float], list[float]]:
    """The items that two programs both answered, in order, with the outcomes of either."""
    items = sorted(ours.keys() & theirs.keys())
    return items, [ours[item] for item in items], [theirs[item] for item in items]


def saved_items(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Evaluations that were ended early, the items that this left out, and the items of all raced evaluations; zeros
    for a run without races."""
    races = (
        "SELECT EXISTS (SELECT 1 FROM events WHERE kind = 'racing') "
        "OR EXISTS (SELECT 1 FROM evaluations WHERE stopped IS NOT NULL)"
    )
    if not _tuples(connection, races)[0][0]:
        return 0, 0, 0
    raced, saved, total = _tuples(
        connection,
        "SELECT coalesce(sum(stopped IS NOT NULL), 0), coalesce(sum(items_total - items), 0), "
        "coalesce(sum(items_total), 0) FROM evaluations WHERE +split = 'search' AND items_total IS NOT NULL",
    )[0]
    return raced, saved, total
