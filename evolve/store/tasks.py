"""Which task each item of a split belongs to, where a problem weighs tasks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from evolve.statistics import Comparison, Interval, compare, score_interval
from evolve.store import inputs, queries
from evolve.store.connection import tuples
from evolve.stratified import Strata, weighted_compare, weighted_score_interval

EVENT = "tasks"


def recorded(connection: sqlite3.Connection, split: str) -> Strata | None:
    """The tasks of the split's items as the run noted them; None where it noted none."""
    query = """
        SELECT data FROM events WHERE kind = ? AND json_extract(data, '$.split') = ?
            AND id > coalesce((SELECT max(id) FROM events WHERE kind = ?), 0)
        ORDER BY id LIMIT 1
    """
    row = tuples(connection, query, (EVENT, split, inputs.EVENT)).fetchone()
    if row is None:
        return None
    data = json.loads(row[0])
    return Strata(tuple(data["names"][index] for index in data["tasks"]), data["weights"])


def strata(connection: sqlite3.Connection, split: str) -> Strata | None:
    """As ``recorded``; None too where the score is the mean of all items anyway."""
    found = recorded(connection, split)
    return None if found is None or found.plain else found


def split_interval(
    connection: sqlite3.Connection, split: str, score: float, outcomes: Sequence[float]
) -> Interval | None:
    """The 95 % interval of a score that is the split's (weighted) mean of its outcomes; None for any other score."""
    found = strata(connection, split)
    if found is None:
        return score_interval(score, outcomes)
    return weighted_score_interval(found, score, outcomes)


def stored_interval(
    connection: sqlite3.Connection, split: str, score: float, outcomes: Sequence[float]
) -> Interval | None:
    """As ``split_interval`` for a stored score, which is maximised; its outcomes are the problem's own."""
    sign = queries.sign(connection)
    found = split_interval(connection, split, sign * score, outcomes)
    return found if found is None or sign > 0 else Interval(-found.high, -found.low)


def split_compare(
    connection: sqlite3.Connection, split: str, items: Sequence[int], first: Sequence[float], second: Sequence[float]
) -> Comparison:
    """Two programs on the same ``items`` of a split, weighted as its score is. Raises UsageError without items."""
    found = strata(connection, split)
    return compare(first, second) if found is None else weighted_compare(found.part(items), first, second)
