"""What must hold in a run's database, beyond what SQLite enforces; read as ``evolve.store.queries`` does."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evolve.errors import CandidateError
from evolve.features import FeatureAxis
from evolve.packed import decompress
from evolve.store import holding, outcomes
from evolve.store.connection import tuples
from evolve.store.encoding import sha256


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, one line, and which rule says so."""

    rule: str
    text: str


# Each query returns what breaks the rule: the number of a proposal, then what is the matter with it.
_QUERIES = (
    ("numbers", """
        SELECT p.id, 'follows ' || q.id || ': rows between are lost'
        FROM proposals p JOIN proposals q ON q.id = (SELECT max(id) FROM proposals WHERE id < p.id)
        WHERE q.id <> p.id - 1"""),
    ("states", """
        SELECT p.id, 'is scored without an evaluation on the split search' FROM proposals p WHERE p.state = 'scored'
        AND NOT EXISTS (
            SELECT 1 FROM evaluations e
            WHERE e.proposal_id = p.id AND (e.split = 'search' OR e.split LIKE 'search~%')) -- one that was set aside
        UNION ALL SELECT p.id, 'is ' || p.state || ' but has an evaluation on the split ' || e.split
        FROM evaluations e JOIN proposals p ON p.id = e.proposal_id WHERE p.state <> 'scored'
        UNION ALL SELECT id, 'is ' || state || ' but has archive status ' || archive_status FROM proposals
        WHERE state <> 'scored' AND archive_status IS NOT NULL
        UNION ALL SELECT winner_id, 'is the winner but not scored' FROM run JOIN proposals p ON p.id = winner_id
        WHERE p.state <> 'scored'"""),
    ("duplicates", """
        SELECT p.id, 'repeats ' || o.id || iif(o.state = 'duplicate', ', itself a duplicate',
            ', whose digest of the ' || iif(p.reason = 'duplicate_plan', 'plan', 'text') || ' is another')
        FROM proposals p JOIN proposals o ON o.id = p.duplicate_of
        WHERE o.state = 'duplicate' OR (p.reason = 'duplicate_source' AND p.source_digest IS NOT o.source_digest)
            OR (p.reason = 'duplicate_plan' AND p.plan_digest IS NOT o.plan_digest)"""),
    ("origins", """
        SELECT p.id, 'is not newer than ' || o.id || ', which it comes from' FROM proposals p
        JOIN proposals o ON o.id IN (p.parent_id, p.mate_id) WHERE o.id >= p.id
        UNION ALL SELECT proposal_id, 'is not newer than ' || program_id || ', its inspiration' FROM inspirations
        WHERE program_id >= proposal_id
        UNION ALL SELECT p.id, 'has generation ' || p.generation || ', which its parent does not lead to'
        FROM proposals p LEFT JOIN proposals o ON o.id = p.parent_id
        WHERE p.generation <> coalesce(o.generation + 1, 0)"""),
    ("costs", """
        SELECT p.id, 'costs ' || coalesce(p.cost_usd, 'an unknown sum') || ' but its calls say '
            || iif(c.unknown, 'that it is unknown', c.usd)
        FROM (SELECT proposal_id, sum(cost_usd IS NULL) AS unknown, total(cost_usd) AS usd
              FROM llm_calls WHERE proposal_id IS NOT NULL GROUP BY proposal_id) c
        JOIN proposals p ON p.id = c.proposal_id
        WHERE (c.unknown > 0) <> (p.cost_usd IS NULL) OR (c.unknown = 0 AND abs(p.cost_usd - c.usd) > 1e-9)"""),
    ("items", """
        SELECT proposal_id, 'has ' || items || ' outcomes of ' || items_total || ' items on the split ' || split
            || coalesce(' and was ' || stopped, '')
        FROM evaluations WHERE (stopped IS NULL AND items <> items_total)
            OR (stopped IS NOT NULL AND coalesce(items >= items_total, 1))"""),
    ("texts", """
        SELECT p.id, 'has another digest of its program than its text' FROM proposals p
        JOIN sources s ON s.text_digest = p.text_digest WHERE p.source_digest <> s.source_digest"""),
)  # fmt: skip


def violations(
    connection: sqlite3.Connection,
    axes: Sequence[FeatureAxis] | None,
    source_digest: Callable[[str], str],
    *,
    quick: bool = False,
) -> Iterator[Violation]:
    """Everything that is wrong with the database as it is at one moment, also while a run writes.

    ``axes`` are those of the problem, None where its copy is lost. ``quick`` leaves out what takes milliseconds for
    each program: parsing texts and plans to compute their digests again.
    """
    connection.execute("BEGIN")  # one snapshot for all rules
    try:
        yield from _file(connection)
        for rule, query in _QUERIES:
            for number, text in tuples(connection, query):
                yield Violation(rule, f"proposal {number} {text}")
        yield from _texts(connection, None if quick else source_digest)
        yield from _plans(connection, quick)
        yield from _outcomes(connection)
        for fault in holding.faults(connection, axes) if axes is not None else ():
            yield Violation("cells", fault)
    finally:
        connection.rollback()


def _file(connection: sqlite3.Connection) -> Iterator[Violation]:
    for (line,) in tuples(connection, "PRAGMA integrity_check"):
        if line != "ok":
            yield Violation("file", line)
    for table, row, parent, _ in tuples(connection, "PRAGMA foreign_key_check"):
        yield Violation("references", f"row {row} of {table} names a row of {parent} that does not exist")


def _texts(connection: sqlite3.Connection, source_digest: Callable[[str], str] | None) -> Iterator[Violation]:
    for text_digest, digest, source in tuples(connection, "SELECT text_digest, source_digest, source FROM sources"):
        if sha256(source) != text_digest:
            yield Violation("texts", f"the text {text_digest[:12]} is not the one that its digest was made of")
        elif source_digest is not None and source_digest(source) != digest:
            yield Violation("texts", f"the text {text_digest[:12]} is not the program {digest[:12]}")


def _plans(connection: sqlite3.Connection, quick: bool) -> Iterator[Violation]:
    from evolve.plan.plan import Plan

    for digest, blob, size_bytes in tuples(connection, "SELECT plan_digest, plan, size_bytes FROM plans"):
        try:
            text = decompress(blob)
            found = digest if quick else Plan.from_dict(json.loads(text)).digest
        except (zlib.error, ValueError, KeyError, TypeError, CandidateError) as error:
            yield Violation("plans", f"plan {digest[:12]} cannot be read: {type(error).__name__}")
            continue
        if len(text.encode()) != size_bytes:
            yield Violation("plans", f"plan {digest[:12]} has {len(text.encode())} bytes, not {size_bytes}")
        elif found != digest:
            yield Violation("plans", f"plan {digest[:12]} has the digest {found[:12]}")


def _outcomes(connection: sqlite3.Connection) -> Iterator[Violation]:
    query = "SELECT proposal_id, split, outcomes, items FROM evaluations WHERE items > 0"
    for number, split, blob, items in tuples(connection, query):
        sizes = {b"b": (items + 7) // 8, b"f": 4 * items, b"d": 8 * items}
        if sizes.get(blob[:1]) != len(blob) - 1:
            fault = f"{len(blob)} bytes, which is not the size of {items} outcomes"
        elif blob[:1] == b"b" and items % 8 and blob[-1] >> items % 8:
            fault = f"outcomes for more than its {items} items"
        elif not all(0.0 <= value <= 1.0 for value in outcomes.unpack(blob, items)):
            fault = "outcomes outside 0..1"
        else:
            continue
        yield Violation("outcomes", f"proposal {number} has {fault} on the split {split}")
