"""Whether the cells hold who the archive's rules say; read as ``evolve.store.queries`` does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evolve.errors import EvaluatorError
from evolve.features import FeatureAxis, cell_key, cell_of
from evolve.store.connection import tuples


class Candidate(NamedTuple):
    """A program with a whole score; ``place`` is the key of its cell.

    ``low`` and ``high`` are its score on the split search and its standing, which differ once it was evaluated on fresh
    items. ``since`` says whether it was scored after its island was last emptied.
    """

    id: int
    island: int
    place: str
    low: float
    high: float
    since: bool


# All evaluations, by the table: for almost every row the index on the split would cost a look more.
_CANDIDATES = """
    SELECT e.proposal_id, p.island, e.features, e.score,
           coalesce((e.score * e.items + f.score * f.items) / (e.items + f.items), e.score),
           r.time IS NULL OR e.created > r.time
    FROM evaluations e
    CROSS JOIN proposals p ON p.id = e.proposal_id
    LEFT JOIN evaluations f ON f.proposal_id = e.proposal_id AND f.split = 'fresh'
    LEFT JOIN (
        SELECT json_extract(data, '$.island') AS island, max(created) AS time
        FROM events WHERE kind = 'reseed' GROUP BY 1
    ) r ON r.island = p.island
    WHERE +e.split = 'search' AND e.stopped IS NULL AND p.patch <> 'ablation'
"""


def faults(connection: sqlite3.Connection, axes: Sequence[FeatureAxis]) -> Iterator[str]:
    """A line for every cell with the wrong holder, place or score, or without a holder, and for every program without
    a place.

    A cell must be held by a program that no program born on the island since it was last emptied beats; copies from
    other islands may hold it too. A program beats another one where both its scores are higher than both of that, or
    equal and it is the older one.
    """
    eligible: dict[int, Candidate] = {}
    best: dict[tuple[int, str], Candidate] = {}
    for number, island, features, score, standing, since in tuples(connection, _CANDIDATES):
        try:
            place = cell_key(cell_of(axes, json.loads(features)))
        except EvaluatorError as error:
            yield f"program {number} has no cell: {error}"
            continue
        one = Candidate(number, island, place, min(score, standing), max(score, standing), bool(since))
        eligible[number] = one
        rival = best.get((island, place))
        if since and (rival is None or (one.low, -one.id) > (rival.low, -rival.id)):
            best[island, place] = one
    for island, cell, number, score in tuples(connection, "SELECT island, cell, program_id, score FROM cells"):
        where = f"cell {cell} of island {island}"
        holder, rival = eligible.get(number), best.pop((island, cell), None)
        if holder is None:
            yield f"{where} is held by program {number}, which has no whole score"
        elif holder.place != cell:
            yield f"{where} is held by program {number}, whose cell is {holder.place}"
        elif min(abs(score - holder.low), abs(score - holder.high)) > 1e-9:
            yield f"{where} has the score {score!r}, its program {number} has {holder.high!r}"
        elif rival is not None and (rival.low, -rival.id) > (holder.high, -holder.id):
            yield f"{where} is held by program {number} with {holder.high!r}, program {rival.id} has {rival.low!r}"
    for (island, cell), rival in sorted(best.items()):
        yield f"cell {cell} of island {island} is empty, program {rival.id} belongs there"
