"""What the commands show of a run, read through plain sqlite3 from the views while the run writes.

Each function takes a connection from ``reading(folder)`` (or the one of an open Database) and returns rows as
dictionaries, JSON columns already decoded. Scores are maximised ones; ``run["direction"]`` says whether the problem's
own sign is the opposite.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve.errors import RunError, UsageError
from evolve.packed import PackedProvenance, decompress
from evolve.store import outcomes as packed
from evolve.store import standings
from evolve.store.connection import FILE_NAME, dicts, file_of, reading, tuples
from evolve.store.lock import holder
from evolve.store.records import FINISHED, UNFINISHED

__all__ = [
    "ancestors", "baselines", "best", "calls", "cells", "children", "evaluations", "events", "failures", "improvements",
    "lineage", "list_runs", "models", "outcomes", "program", "programs", "progress", "proposers", "provenance",
    "reading", "record", "resolve", "sign", "summary",
]  # fmt: skip

Row = dict[str, Any]

_JSON = frozenset({"config", "data", "digests", "features", "knobs", "metrics", "phases"})
_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_PROGRAM_COLUMNS = """
    id, state, score, island, generation, parent_id, mate_id, patch, proposer, description, seed_name, reason, message,
    line, duplicate_of, archive_status, items, items_total, stopped, metrics, features, seconds, cost_usd,
    source_digest, plan_digest, proposed_at, finished_at
"""
ORDERS = ("score", "newest", "oldest")
_UNSCORED = ", ".join(f"'{state}'" for state in (*UNFINISHED, *FINISHED) if state != "scored")
# The join is CROSS so that the index on the score stays the outer loop and LIMIT ends it.
_BY_SCORE = """
    SELECT p.id FROM evaluations e CROSS JOIN proposals p ON p.id = e.proposal_id
    WHERE e.split = 'search' AND e.stopped {stopped}{where} ORDER BY e.score DESC, e.proposal_id
"""
# No index has the times: the newest rows of each table are where the last thing happened.
_LAST_ACTIVITY = """
    SELECT max(time) AS time FROM (
        SELECT max(proposed_at) AS time FROM (SELECT proposed_at FROM proposals ORDER BY id DESC LIMIT 1)
        UNION ALL SELECT max(finished_at) FROM (SELECT finished_at FROM proposals ORDER BY id DESC LIMIT 100)
        UNION ALL SELECT created FROM (SELECT created FROM evaluations ORDER BY id DESC LIMIT 1)
    )
"""


def _rows(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[Row]:
    rows = dicts(connection, query, values)
    for row in rows:
        for column in _JSON & row.keys():
            row[column] = None if row[column] is None else json.loads(row[column])
    return rows


def _row(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> Row | None:
    return next(iter(_rows(connection, query, values)), None)


# --- runs ---


def list_runs(folder: Path) -> list[Row]:
    """A row for every run below ``folder``, by name: its summary, or {"folder", "id", "error"} for a broken one."""
    found = []
    for path in sorted(folder.glob(f"*/{FILE_NAME}")):
        try:
            with reading(path.parent) as connection:
                found.append(summary(connection, path.parent))
        except RunError as error:
            found.append({"folder": str(path.parent), "id": path.parent.name, "error": str(error)})
    return found


def record(connection: sqlite3.Connection, folder: Path) -> Row:
    """The run's own row. Raises RunError where there is none."""
    run = _row(connection, "SELECT * FROM run")
    if run is None:
        raise RunError(f"{file_of(folder)} holds no run; delete the folder {folder} and start again")
    del run["only_row"]
    return run


def summary(connection: sqlite3.Connection, folder: Path) -> Row:
    """The run's row with counts, cost, best program and best baseline.

    ``process`` is the id of the process that writes it now, None when nobody does: a run that was killed is ``running``
    without a process.
    """
    run = record(connection, folder)
    states = _rows(connection, "SELECT state, proposals, evaluations FROM states")
    spent = _rows(connection, "SELECT known_usd, unknown_calls FROM spending")[0]
    baseline = _row(
        connection, "SELECT id, seed_name, score FROM baselines WHERE score IS NOT NULL ORDER BY score DESC, id LIMIT 1"
    )
    last = _row(connection, _LAST_ACTIVITY)
    return {
        "folder": str(folder),
        **run,
        "process": holder(folder),
        "states": {row["state"]: row["proposals"] for row in states},
        "proposals": sum(row["proposals"] for row in states),
        "evaluations": sum(row["evaluations"] for row in states),
        "cost_usd": spent["known_usd"],
        "unknown_costs": spent["unknown_calls"],
        "best": best(connection),
        "baseline": baseline,
        "cells": _rows(connection, "SELECT count(DISTINCT cell) AS cells FROM cells")[0]["cells"],
        "last_activity": last["time"] if last else None,
    }


def sign(connection: sqlite3.Connection) -> float:
    """Factor between a stored score, which is always maximised, and the problem's own."""
    row = _row(connection, "SELECT direction FROM run")
    return -1.0 if row and row["direction"] == "minimize" else 1.0


def best(connection: sqlite3.Connection) -> Row | None:
    """The program with the highest standing, the older one of equals; None before the first whole evaluation.

    Its standing is the search score, or the mean over the items of ``search`` and ``fresh`` where it has both.
    """
    found = standings.best(connection, 1)
    return _row(
        connection,
        "SELECT p.id, e.score, p.island, p.generation, p.patch, p.proposer, p.description, p.seed_name, e.items "
        "FROM proposals p JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search' WHERE p.id = ?",
        found or [None],
    )


# --- programs ---


def programs(
    connection: sqlite3.Connection,
    *,
    limit: int | None = None,
    state: str | None = None,
    island: int | None = None,
    order: str = "score",
) -> list[Row]:
    """Proposals without their source text; ``order`` is score (best first), newest or oldest."""
    if order not in ORDERS:
        raise UsageError(f"unknown order {order!r}; use one of {', '.join(ORDERS)}")
    return listed(connection, _chosen(connection, -1 if limit is None else limit, state, island, order))


def listed(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[Row]:
    """These programs in this order, as ``programs`` gives them."""
    found = _rows(
        connection,
        f"SELECT {_PROGRAM_COLUMNS} FROM programs WHERE id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(numbers))],
    )
    place = {number: index for index, number in enumerate(numbers)}
    return sorted(found, key=lambda row: place[row["id"]])


def metric_values(connection: sqlite3.Connection, metrics: Sequence[str]) -> list[tuple[Any, ...]]:
    """Number, score and these metrics (None for one that it lacks) of every program that was evaluated wholly on the
    search split, best score first. Reads all of them."""
    columns = ", json_extract(metrics, ?)" * len(metrics)
    query = f"SELECT proposal_id, score{columns} FROM evaluations WHERE split = 'search' AND stopped IS NULL"
    found = tuples(connection, query, [f'$."{name}"' for name in metrics]).fetchall()
    return sorted(found, key=lambda row: (-row[1], row[0]))


def _chosen(connection: sqlite3.Connection, limit: int, state: str | None, island: int | None, order: str) -> list[int]:
    """The numbers of the first ``limit`` programs, -1 for all; reads indexes and no more of them than that takes."""
    given = {"state": state, "island": island}
    where = "".join(f" AND p.{column} = :{column}" for column, value in given.items() if value is not None)
    if order != "score":
        queries = [f"SELECT p.id FROM proposals p WHERE 1{where} ORDER BY p.id {'DESC' * (order == 'newest')}"]
    else:
        # Only scored programs have an evaluation on the search split.
        queries = [_BY_SCORE.format(stopped=stopped, where=where) for stopped in ("IS NULL", "IS NOT NULL")]
        queries = queries[: 2 if state in (None, "scored") else 0]
        if state != "scored":
            queries.append(f"SELECT p.id FROM proposals p WHERE p.state IN ({_UNSCORED}){where} ORDER BY p.id")
    found: list[int] = []
    for query in queries:
        values = {**given, "limit": limit if limit < 0 else limit - len(found)}
        found += [row[0] for row in tuples(connection, query + " LIMIT :limit", values)]
    return found


def resolve(connection: sqlite3.Connection, reference: int | str) -> int:
    """The id of the program named by a number, ``best``, ``winner``, or the start of a source or plan digest.

    A digest needs at least four digits. Raises UsageError when there is no such program or the digest fits several.
    """
    text = str(reference).strip()
    if text in ("best", "winner"):
        return _resolve_word(connection, text)
    if text.isdecimal() and len(text) < 19:
        found = _row(connection, "SELECT id FROM proposals WHERE id = ?", [int(text)])
        if found:
            return int(found["id"])
    fitting = _by_digest(connection, text) if _DIGEST.fullmatch(text) else []
    if not fitting:
        raise UsageError(f"no program {text!r} in this run; name a number, best, winner, or the start of a digest")
    if len(fitting) > 1:
        raise UsageError(f"digest {text!r} fits the programs {', '.join(map(str, fitting))}; name one by its number")
    return fitting[0]


def _resolve_word(connection: sqlite3.Connection, word: str) -> int:
    if word == "winner":
        chosen = _row(connection, "SELECT winner_id AS id FROM run WHERE winner_id IS NOT NULL")
    else:
        chosen = best(connection)
    if chosen is None:
        missing = "has not chosen a winner; name a number or best" if word == "winner" else "has no scored program yet"
        raise UsageError(f"this run {missing}")
    return int(chosen["id"])


def _by_digest(connection: sqlite3.Connection, start: str) -> list[int]:
    # A range on the index; "g" follows every hexadecimal digit. Duplicates stand for their originals.
    query = """
        SELECT DISTINCT coalesce(duplicate_of, id) AS id FROM (
            SELECT id, duplicate_of FROM proposals WHERE source_digest >= :start AND source_digest < :start || 'g'
            UNION SELECT id, duplicate_of FROM proposals WHERE plan_digest >= :start AND plan_digest < :start || 'g'
        ) ORDER BY id LIMIT 5
    """
    return [row[0] for row in tuples(connection, query, {"start": start})]


def program(connection: sqlite3.Connection, reference: int | str) -> Row:
    """Everything about one program.

    The columns of ``programs`` and ``source``, ``knobs``, ``plan`` (decoded JSON or None), ``evaluations``, ``parent``,
    ``mate``, ``inspirations``, ``children``, ``ancestors``, ``cells`` and ``calls``.
    """
    number = resolve(connection, reference)
    row = _rows(connection, f"SELECT {_PROGRAM_COLUMNS}, knobs, source FROM programs WHERE id = ?", [number])[0]
    plan = _row(connection, "SELECT plan FROM plans WHERE plan_digest = ?", [row["plan_digest"]])
    row["plan"] = json.loads(decompress(plan["plan"])) if plan else None
    row["evaluations"] = evaluations(connection, row["duplicate_of"] or number)
    row["parent"] = _brief(connection, row["parent_id"])
    row["mate"] = _brief(connection, row["mate_id"])
    row["inspirations"] = _rows(
        connection,
        "SELECT p.id, p.score, p.description FROM inspirations i JOIN programs p ON p.id = i.program_id "
        "WHERE i.proposal_id = ? ORDER BY i.position",
        [number],
    )
    row["children"] = children(connection, number)
    row["ancestors"] = ancestors(connection, number)
    row["cells"] = _rows(connection, "SELECT island, cell FROM cells WHERE program_id = ? ORDER BY island", [number])
    row["calls"] = calls(connection, number)
    return row


def _brief(connection: sqlite3.Connection, number: int | None) -> Row | None:
    return _row(connection, "SELECT id, score, description FROM programs WHERE id = ?", [number])


def evaluations(connection: sqlite3.Connection, program_id: int) -> list[Row]:
    """A row per split with ``outcomes`` as a list of numbers."""
    found = _rows(connection, "SELECT * FROM evaluations WHERE proposal_id = ? ORDER BY id", [program_id])
    for row in found:
        row["outcomes"] = list(packed.unpack(row["outcomes"], row["items"]))
    return found


def outcomes(connection: sqlite3.Connection, program_id: int, split: str = "search") -> list[float]:
    """The outcomes of one program on one split, those of its original for a duplicate; empty without an evaluation."""
    row = _row(
        connection,
        "SELECT e.outcomes, e.items FROM proposals p "
        "JOIN evaluations e ON e.proposal_id = coalesce(p.duplicate_of, p.id) WHERE p.id = ? AND e.split = ?",
        [program_id, split],
    )
    return list(packed.unpack(row["outcomes"], row["items"])) if row else []


def provenance(connection: sqlite3.Connection, program_id: int, split: str = "search") -> Row | None:
    """Where one program's weights come from (see ``evolve.merge.provenance``), its original's for a duplicate; None
    where it was not measured."""
    row = _row(
        connection,
        "SELECT v.base, v.model, v.places FROM proposals p "
        "JOIN evaluations e ON e.proposal_id = coalesce(p.duplicate_of, p.id) "
        "JOIN provenance v ON v.evaluation_id = e.id WHERE p.id = ? AND e.split = ?",
        [program_id, split],
    )
    return None if row is None else PackedProvenance(**row).measured()


def ancestors(connection: sqlite3.Connection, program_id: int) -> list[Row]:
    """The line of first parents, oldest first, without the program itself; ``gain`` is the score over the parent's."""
    return _rows(
        connection,
        "WITH RECURSIVE line (id, parent_id, steps) AS ("
        "  SELECT id, parent_id, 0 FROM proposals WHERE id = ?"
        "  UNION ALL SELECT p.id, p.parent_id, l.steps + 1 FROM line l JOIN proposals p ON p.id = l.parent_id"
        ") SELECT g.* FROM line l JOIN lineage g ON g.id = l.id WHERE l.steps > 0 ORDER BY l.steps DESC",
        [program_id],
    )


def children(connection: sqlite3.Connection, program_id: int) -> list[Row]:
    """Every proposal made from this parent, in order."""
    return _rows(connection, "SELECT * FROM lineage WHERE parent_id = ? ORDER BY id", [program_id])


def lineage(connection: sqlite3.Connection) -> list[Row]:
    """Every proposal with its parent and the gain over it, in order: the whole tree."""
    return _rows(connection, "SELECT * FROM lineage ORDER BY id")


# --- the run as a whole ---


def failures(connection: sqlite3.Connection) -> list[Row]:
    """How many proposals ended without a score, by state and reason, with the last message; most frequent first."""
    return _rows(connection, "SELECT * FROM failures ORDER BY proposals DESC, state, reason")


def progress(connection: sqlite3.Connection) -> list[Row]:
    """The curve: best score after each evaluation of the search split, in the order in which they finished."""
    return _rows(connection, "SELECT evaluation, proposal_id, score, best, created FROM progress ORDER BY evaluation")


def improvements(connection: sqlite3.Connection) -> list[Row]:
    """The evaluations that raised the best score, oldest first."""
    return _rows(connection, "SELECT * FROM improvements ORDER BY evaluation")


def baselines(connection: sqlite3.Connection) -> list[Row]:
    """The problem's seeds with their scores, best first."""
    newest = "id IN (SELECT max(id) FROM proposals WHERE seed_name IS NOT NULL GROUP BY seed_name)"
    return _rows(connection, f"SELECT * FROM baselines WHERE {newest} ORDER BY score IS NULL, score DESC, id")


def cells(connection: sqlite3.Connection, island: int | None = None) -> list[Row]:
    """The archive: who holds each cell of each island now."""
    where, values = ("", []) if island is None else ("WHERE island = ?", [island])
    return _rows(connection, f"SELECT * FROM elites {where} ORDER BY island, score DESC, program_id", values)


def proposers(connection: sqlite3.Connection) -> list[Row]:
    """What each proposer made and what it cost."""
    return _rows(connection, "SELECT * FROM proposers ORDER BY cost_usd DESC, proposer")


def models(connection: sqlite3.Connection) -> list[Row]:
    """Calls, tokens and money by language model."""
    return _rows(connection, "SELECT * FROM models ORDER BY cost_usd DESC, provider, model")


def calls(connection: sqlite3.Connection, proposal_id: int | None = None, limit: int | None = None) -> list[Row]:
    """Requests to language models with prompt and reply, newest last; all of the run when no proposal is named."""
    where, values = ("", []) if proposal_id is None else ("WHERE proposal_id = ?", [proposal_id])
    newest = f"SELECT * FROM llm_calls {where} ORDER BY id DESC LIMIT ?"
    found = _rows(connection, f"SELECT * FROM ({newest}) ORDER BY id", [*values, -1 if limit is None else limit])
    for row in found:
        row["prompt"] = decompress(row["prompt"])
    return found


def events(connection: sqlite3.Connection, kind: str | None = None, limit: int | None = None) -> list[Row]:
    """The run's history, oldest first; ``limit`` keeps the newest."""
    where, values = ("", []) if kind is None else ("WHERE kind = ?", [kind])
    newest = f"SELECT * FROM events {where} ORDER BY id DESC LIMIT ?"
    return _rows(connection, f"SELECT * FROM ({newest}) ORDER BY id", [*values, -1 if limit is None else limit])
