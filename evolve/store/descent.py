"""Where a program comes from and the best that came of it; read as ``evolve.store.queries`` does.

Ablations are no descendants: they measure a program.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evolve.store import family
from evolve.store.connection import tuples


@dataclass(frozen=True, slots=True)
class Step:
    """A program and the edit that made it from its parent.

    ``score`` (maximised) is None without a whole evaluation, ``gain`` over the parent where either has none.
    """

    id: int
    parent_id: int | None
    mate_id: int | None
    generation: int
    state: str
    patch: str
    proposer: str
    description: str
    score: float | None
    gain: float | None


@dataclass(frozen=True)
class Descent:
    """The line of first parents that ends in ``program``, oldest first, and the tree of its best descendants.

    ``tree`` holds the ``best`` ones and who lies between, each parent before its children; ``descendants`` counts all
    of them.
    """

    program: int
    line: tuple[Step, ...]
    descendants: int
    best: tuple[int, ...]
    tree: tuple[Step, ...]


_STEPS = """
    SELECT p.id, p.parent_id, p.mate_id, p.generation, p.state, p.patch, p.proposer, p.description, e.score,
           e.score - a.score
    FROM json_each(:ids) j CROSS JOIN proposals p ON p.id = j.value
    LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search' AND e.stopped IS NULL
    LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search' AND a.stopped IS NULL
    ORDER BY p.id
"""

# An index over parents holds all that this walks over.
_BELOW = """
    WITH RECURSIVE below (id, level) AS (
        SELECT :id, 0
        UNION ALL SELECT p.id, b.level + 1 FROM below b JOIN proposals p ON p.parent_id = b.id WHERE b.level < :depth
    )
"""
_COUNT = _BELOW + "SELECT count(*) - 1 FROM below"
_BEST = (
    _BELOW
    + """
    SELECT b.id FROM below b CROSS JOIN evaluations e ON e.proposal_id = b.id AND e.split = 'search'
    WHERE b.level > 0 AND e.stopped IS NULL
        AND NOT EXISTS (SELECT 1 FROM proposals p WHERE p.id = b.id AND p.patch = 'ablation')
    ORDER BY e.score DESC, b.id LIMIT :best
"""
)


def descent(connection: sqlite3.Connection, program_id: int, best: int, depth: int) -> Descent:
    """A program's whole line, and its ``best`` descendants of at most ``depth`` generations.

    Takes time for each descendant, some microseconds.
    """
    values: dict[str, Any] = {"id": program_id, "best": best, "depth": depth}
    line = _steps(connection, (one.id for one in family.line(connection, program_id)))
    count = tuples(connection, _COUNT, values).fetchone()[0]
    chosen = tuple(row[0] for row in tuples(connection, _BEST, values))
    between: set[int] = set()
    for number in chosen:
        while number != program_id and number not in between:
            between.add(number)
            number = tuples(connection, "SELECT parent_id FROM proposals WHERE id = ?", (number,)).fetchone()[0]
    return Descent(program_id, line, count, chosen, _steps(connection, between))


def _steps(connection: sqlite3.Connection, ids: Iterable[int]) -> tuple[Step, ...]:
    return tuple(Step(*row) for row in tuples(connection, _STEPS, {"ids": json.dumps(sorted(ids))}))
