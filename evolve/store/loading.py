"""What the loop reads back from the program database: by number, by digest, or once at the start of a process.

Nothing here reads a whole table except what says so; those are for `evolve resume`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from evolve.errors import RunError
from evolve.packed import decompress
from evolve.store import outcomes
from evolve.store.records import (
    Attempt,
    Cell,
    Children,
    Contender,
    Cost,
    Counts,
    Elite,
    Match,
    ProposalRequest,
    ProposalState,
    RunRecord,
    ScoredProgram,
    StoredProgram,
    Unfinished,
)

_MATCH = """
    SELECT o.id, o.state, e.score, o.reason, o.message
    FROM proposals p
    JOIN proposals o ON o.id = coalesce(p.duplicate_of, p.id)
    LEFT JOIN evaluations e ON e.proposal_id = o.id AND e.split = 'search'
    WHERE p.{column} = ? AND p.id <> ? AND o.id <> ? AND o.state NOT IN ('duplicate', 'rejected', 'abandoned')
        AND (o.state <> 'scored' OR e.id IS NOT NULL) -- its score may have been set aside
    ORDER BY p.id LIMIT 1
"""

_SCORED = """
    SELECT p.id, p.island, p.generation, p.parent_id, s.standing, e.features, e.outcomes, e.items
    FROM standings s
    JOIN evaluations e ON e.proposal_id = s.proposal_id AND e.split = 'search'
    JOIN proposals p ON p.id = s.proposal_id
    WHERE {one} ORDER BY p.id
"""

_CONTENDERS = """
    SELECT e.proposal_id, p.island, coalesce((e.score * e.items + f.score * f.items) / (e.items + f.items), e.score),
           e.features
    FROM evaluations e
    CROSS JOIN proposals p ON p.id = e.proposal_id
    LEFT JOIN evaluations f ON f.proposal_id = e.proposal_id AND f.split = 'fresh'
    WHERE +e.split = 'search' AND e.stopped IS NULL AND p.patch <> 'ablation'
"""

_ELITES = """
    SELECT p.id, p.island, p.generation, p.parent_id, s.standing, e.features, e.outcomes, e.items, c.island, c.cell
    FROM cells c
    JOIN standings s ON s.proposal_id = c.program_id
    JOIN proposals p ON p.id = c.program_id
    JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
    ORDER BY c.island, p.id, c.cell
"""

_CHILDREN = """
    SELECT count(*), coalesce(sum(archive_status IN ('improve_existing', 'new')), 0)
    FROM proposals WHERE parent_id = ? AND state <> 'abandoned' AND patch <> 'ablation'
"""

_STORED = """
    SELECT p.id, p.state, p.island, p.generation, p.parent_id, p.mate_id, p.patch, p.proposer, p.description,
           p.seed_name, s.source, p.source_digest, p.plan_digest, p.knobs, e.score, e.metrics, e.features,
           e.outcomes, e.items, e.feedback, p.reason, p.message, p.line
    FROM proposals p
    LEFT JOIN sources s ON s.text_digest = p.text_digest
    LEFT JOIN evaluations e ON e.proposal_id = coalesce(p.duplicate_of, p.id) AND e.split = 'search'
    WHERE p.id = ?
"""

_STORED_COLUMNS = (
    "id", "state", "island", "generation", "parent_id", "mate_id", "patch", "proposer", "description", "seed_name",
    "source", "source_digest", "plan_digest", "knobs", "score", "metrics", "features", "outcomes", "items", "feedback",
    "reason", "message", "line",
)  # fmt: skip

_UNFINISHED = """
    SELECT p.id, p.state, p.source_digest, s.source, p.plan_digest, l.plan, p.island, p.generation, p.patch, p.proposer,
           p.parent_id, p.mate_id, p.description, p.seed_name, p.note
    FROM proposals p
    LEFT JOIN sources s ON s.text_digest = p.text_digest
    LEFT JOIN plans l ON l.plan_digest = p.plan_digest
    WHERE p.finished_at IS NULL ORDER BY p.id
"""

_ATTEMPT = """
    SELECT p.id, p.island, p.generation, p.patch, p.proposer, p.parent_id, p.mate_id, p.description, p.seed_name,
           p.note, p.state, p.reason, s.source, e.score, a.score,
           coalesce(p.archive_status, '') IN ('improve_existing', 'new'),
           p.evaluating_at IS NOT NULL AND p.state IN ('scored', 'failed'),
           e.stopped IS NULL, coalesce(e.seconds, 0.0), p.cost_usd, e.outcomes, e.items
    FROM proposals p
    LEFT JOIN sources s ON s.text_digest = p.text_digest
    LEFT JOIN evaluations e ON e.proposal_id = coalesce(p.duplicate_of, p.id) AND e.split = 'search'
    LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search'
    WHERE p.id = ? AND p.finished_at IS NOT NULL AND p.state <> 'abandoned'
"""

_ENDED = """
    SELECT p.id FROM proposals p LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
    WHERE p.finished_at IS NOT NULL AND p.state <> 'abandoned' AND (p.state <> 'scored' OR e.id IS NOT NULL)
    ORDER BY p.finished_at, p.id
"""


def last_end(connection: sqlite3.Connection) -> str | None:
    """When the last proposal ended; reads the end of an index."""
    found: str | None = connection.execute(
        "SELECT max(finished_at) FROM proposals WHERE finished_at IS NOT NULL"
    ).fetchone()[0]
    return found


def run(connection: sqlite3.Connection) -> RunRecord:
    row = connection.execute(
        "SELECT id, problem, profile, digests, config, seed, version, direction, state, created, winner_id FROM run"
    ).fetchone()
    problem, profile, digests, config, seed, version, direction, state, created, winner_id = row[1:]
    return RunRecord(
        row[0], problem, profile, json.loads(digests), json.loads(config), seed, version, direction, state, created,
        winner_id,
    )  # fmt: skip


def match_source(connection: sqlite3.Connection, digest: str, proposal_id: int) -> Match | None:
    return _match(connection, "source_digest", digest, proposal_id)


def match_plan(connection: sqlite3.Connection, digest: str, proposal_id: int) -> Match | None:
    return _match(connection, "plan_digest", digest, proposal_id)


def _match(connection: sqlite3.Connection, column: str, digest: str, proposal_id: int) -> Match | None:
    row = connection.execute(_MATCH.format(column=column), (digest, proposal_id, proposal_id)).fetchone()
    return None if row is None else Match(*row)


def unfinished(connection: sqlite3.Connection) -> list[Unfinished]:
    """Proposals without an end, in the order in which they were asked for; reads a partial index."""
    found = []
    for row in connection.execute(_UNFINISHED).fetchall():
        number, state, source_digest, source, plan_digest, plan, island, generation, patch, proposer = row[:10]
        request = ProposalRequest(
            island, generation, patch, proposer, row[10], row[11], inspirations(connection, number), row[12], row[13],
            json.loads(row[14]),
        )  # fmt: skip
        plan_json = None if plan is None else decompress(plan)
        found.append(Unfinished(number, state, request, source, source_digest, plan_digest, plan_json))
    return found


def inspirations(connection: sqlite3.Connection, proposal_id: int) -> tuple[int, ...]:
    rows = connection.execute(
        "SELECT program_id FROM inspirations WHERE proposal_id = ? ORDER BY position", (proposal_id,)
    )
    return tuple(row[0] for row in rows)


def under_way(connection: sqlite3.Connection) -> dict[int, tuple[ProposalState, bool]]:
    """State of every proposal without an end, and whether its evaluation has begun; reads a partial index."""
    query = "SELECT id, state, evaluating_at IS NOT NULL FROM proposals WHERE finished_at IS NULL"
    return {number: (state, bool(begun)) for number, state, begun in connection.execute(query)}


def counts(connection: sqlite3.Connection) -> Counts:
    """Reads an index over all proposals: for the start of a process."""
    rows = connection.execute("SELECT state, proposals, evaluations FROM states").fetchall()
    return Counts({row[0]: row[1] for row in rows}, sum(row[2] for row in rows))


def cost(connection: sqlite3.Connection) -> Cost:
    """Reads an index over all calls: for the start of a process."""
    return Cost(*connection.execute("SELECT known_usd, unknown_calls FROM spending").fetchone())


def children_of(connection: sqlite3.Connection, program_id: int) -> Children:
    return Children(*connection.execute(_CHILDREN, (program_id,)).fetchone())


def contenders(connection: sqlite3.Connection) -> Iterator[Contender]:
    """Every program with a whole score, one at a time; reads the whole table."""
    for number, island, score, features in connection.execute(_CONTENDERS):
        yield Contender(number, island, score, json.loads(features))


def scored(connection: sqlite3.Connection, program_id: int) -> ScoredProgram:
    """One program with a whole score. Raises RunError when there is none."""
    row = connection.execute(_SCORED.format(one="e.proposal_id = ?"), (program_id,)).fetchone()
    if row is None:
        raise RunError(f"program {program_id} has no whole evaluation on the search split; name one that is scored")
    return _program(row, children_of(connection, program_id))


def scored_above(connection: sqlite3.Connection, score: float) -> list[ScoredProgram]:
    """The programs whose search score is over ``score``, in the order of ids; reads an index from there."""
    query = _SCORED.format(one="e.score > ?")
    return [_program(row, children_of(connection, row[0])) for row in connection.execute(query, (score,)).fetchall()]


def elites(connection: sqlite3.Connection) -> list[Elite]:
    """The cells with their programs, by island and id: as many rows as the archive has cells."""
    found = []
    for row in connection.execute(_ELITES).fetchall():
        program = _program(row, children_of(connection, row[0]))
        found.append(Elite(Cell(row[8], row[9], program.id, program.score), program))
    return found


def _program(row: tuple[Any, ...], offspring: Children) -> ScoredProgram:
    number, island, generation, parent_id, score, features, blob, items = row[:8]
    unpacked = outcomes.unpack(blob, items)
    return ScoredProgram(number, island, generation, parent_id, score, json.loads(features), unpacked, offspring)


def generation(connection: sqlite3.Connection, program_id: int) -> int:
    """How many edits lie between a program and a seed. Raises RunError when there is no such program."""
    row = connection.execute("SELECT generation FROM proposals WHERE id = ?", (program_id,)).fetchone()
    if row is None:
        raise RunError(f"this run has no program {program_id}; name one that it has")
    return int(row[0])


def stored(connection: sqlite3.Connection, program_id: int) -> StoredProgram:
    """One program by id; a duplicate shows the evaluation of its original. Raises RunError when there is none."""
    row = connection.execute(_STORED, (program_id,)).fetchone()
    if row is None:
        raise RunError(f"this run has no program {program_id}; name one that it has")
    values = dict(zip(_STORED_COLUMNS, row, strict=True))
    for name, empty in (("knobs", ()), ("metrics", {}), ("features", {})):
        values[name] = json.loads(values[name]) if values[name] else empty
    values["knobs"] = tuple(values["knobs"])
    values["outcomes"] = outcomes.unpack(values["outcomes"], values.pop("items") or 0)
    values["feedback"] = values["feedback"] or ""
    return StoredProgram(**values)


def attempts(connection: sqlite3.Connection) -> Iterator[Attempt]:
    """Every finished proposal in the order of its end, but for the abandoned ones and those whose score was set aside;
    reads the whole table."""
    # Only numbers are sorted: with everything that is read of them the texts of a whole run would be.
    for (number,) in connection.execute(_ENDED):
        yield attempt(connection, number)


def attempt(connection: sqlite3.Connection, proposal_id: int) -> Attempt:
    """How one proposal ended. Raises RunError while it has not."""
    row = connection.execute(_ATTEMPT, (proposal_id,)).fetchone()
    if row is None:
        raise RunError(f"proposal {proposal_id} has not ended")
    return _attempt(row)


def _attempt(row: tuple[Any, ...]) -> Attempt:
    number, island, generation, patch, proposer, parent_id, mate_id, description, seed_name, note = row[:10]
    request = ProposalRequest(
        island, generation, patch, proposer, parent_id, mate_id, (), description, seed_name, json.loads(note)
    )
    state, reason, source, score, parent_score, archived, evaluated, whole, seconds, cost_usd, blob, items = row[10:]
    return Attempt(
        number, request, state, reason, source, score, parent_score, bool(archived), bool(evaluated), bool(whole),
        seconds, cost_usd, outcomes.unpack(blob, items or 0),
    )  # fmt: skip
