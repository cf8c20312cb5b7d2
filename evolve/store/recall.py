"""What parts of the search read back at the start of a process: texts, embeddings, plans, ablations, stagnation."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evolve.packed import decompress
from evolve.store import outcomes
from evolve.store.connection import tuples

ABLATION = "ablation"
"""Patch and proposer of a program that was made to measure a part of another one; it never enters the archive.

Queries hold it as text: the index of ablations serves no parameter."""

IMPORT = "import"
"""Patch and proposer of a program that came from another run with its score."""


@dataclass(frozen=True, slots=True)
class Text:
    """The source of a scored program and the island it was born on."""

    id: int
    island: int
    source: str


@dataclass(frozen=True, slots=True)
class Traced:
    """A scored program's plan document and knobs, and the score that was predicted before, if any was."""

    id: int
    plan: Mapping[str, Any]
    knobs: tuple[Mapping[str, Any], ...]
    score: float
    predicted: float | None


@dataclass(frozen=True, slots=True)
class Ablated:
    """A variant of a program without one of its parts. ``score`` is None, and there are no outcomes, before it is
    evaluated; ``note`` is what was asked."""

    id: int
    state: str
    description: str
    note: Mapping[str, Any]
    score: float | None
    outcomes: tuple[float, ...]


def texts(connection: sqlite3.Connection, newest: int) -> list[Text]:
    """The ``newest`` scored programs, oldest first."""
    query = """
        SELECT p.id, p.island, s.source FROM proposals p JOIN sources s ON s.text_digest = p.text_digest
        WHERE +p.state = 'scored' ORDER BY p.id DESC LIMIT ?
    """
    return [Text(*row) for row in reversed(tuples(connection, query, (newest,)).fetchall())]


def embeddings(connection: sqlite3.Connection, model: str, newest: int) -> list[tuple[int, int, str]]:
    """Program, island and reply of the ``newest`` embeddings that this model made of scored programs, oldest first."""
    query = """
        SELECT p.id, p.island, c.reply FROM llm_calls c CROSS JOIN proposals p ON p.id = c.proposal_id
        WHERE c.purpose = 'embedding' AND +c.model = ? AND c.reply IS NOT NULL AND p.state = 'scored'
        ORDER BY c.id DESC LIMIT ?
    """
    return tuples(connection, query, (model, newest)).fetchall()[::-1]


def traced(connection: sqlite3.Connection, newest: int) -> Iterator[Traced]:
    """The ``newest`` evaluated merges in the order in which they were scored, whole evaluations only."""
    query = """
        SELECT * FROM (
            SELECT p.id, l.plan, p.knobs, e.score, p.predicted, e.id AS place
            FROM evaluations e JOIN proposals p ON p.id = e.proposal_id JOIN plans l ON l.plan_digest = p.plan_digest
            WHERE +e.split = 'search' AND e.stopped IS NULL ORDER BY e.id DESC LIMIT ?
        ) ORDER BY place
    """
    for number, plan, knobs, score, predicted, _ in tuples(connection, query, (newest,)):
        yield Traced(number, json.loads(decompress(plan)), tuple(json.loads(knobs or "[]")), score, predicted)


def ablations(connection: sqlite3.Connection, program_id: int) -> list[Ablated]:
    """The variants of one program, in order."""
    query = f"""
        SELECT p.id, p.state, p.description, p.note, e.score, e.outcomes, e.items FROM proposals p
        LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search' AND e.stopped IS NULL
        WHERE p.parent_id = ? AND p.patch = '{ABLATION}' ORDER BY p.id
    """
    return [
        Ablated(number, state, description, json.loads(note), score, outcomes.unpack(blob, items or 0))
        for number, state, description, note, score, blob, items in tuples(connection, query, (program_id,))
    ]


def last_ablated(connection: sqlite3.Connection) -> int | None:
    """The program whose variants were asked for last."""
    query = f"SELECT parent_id, max(+id) FROM proposals WHERE parent_id IS NOT NULL AND patch = '{ABLATION}'"
    parent_id = tuples(connection, query).fetchone()[0]
    return None if parent_id is None else int(parent_id)


def fruitless(connection: sqlite3.Connection) -> dict[int, int]:
    """How many whole evaluations each island has had since its best elite took its cell.

    Reads evaluations from the newest back to the oldest of these moments.
    """
    best = """
        SELECT island, updated FROM (
            SELECT island, updated, row_number() OVER (PARTITION BY island ORDER BY score DESC, program_id) AS place
            FROM cells
        ) WHERE place = 1
    """
    since = dict(tuples(connection, best).fetchall())
    counts = dict.fromkeys(since, 0)
    evaluated = f"""
        SELECT p.island, e.created FROM evaluations e CROSS JOIN proposals p ON p.id = e.proposal_id
        WHERE +e.split = 'search' AND e.stopped IS NULL AND p.patch NOT IN ('{ABLATION}', '{IMPORT}')
        ORDER BY e.id DESC
    """
    oldest = min(since.values(), default=None)
    if oldest is None:
        return {}
    for island, created in tuples(connection, evaluated):
        if created <= oldest:
            break
        if island in since and created > since[island]:
            counts[island] += 1
    return counts
