"""Elites of other runs of the same problem as programs of this one; nothing is evaluated again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.errors import RunError
from evolve.store import connection as connections
from evolve.store import inputs, loading, queries
from evolve.store.clock import Clock
from evolve.store.database import Database
from evolve.store.encoding import to_json
from evolve.store.recall import IMPORT
from evolve.store.rows import insertion

SPLITS = ("search", "fresh", "validation")
"""Whose evaluations come along; the sealed ones are read anew by the program that wins."""

NAMED = 6
"""Differences between two runs that an error names."""

_UNSCORED_PARTS = ("README.md", "task.md", "seeds/")
"""Parts of a problem that no score depends on."""

# The best come first, so that a cell is taken once. A program has one cell, on however many islands.
_ELITES = """
    SELECT p.id, p.island, p.generation, p.patch, p.proposer, p.description, p.text_digest, p.source_digest,
           p.plan_digest, p.knobs, s.standing, c.cell
    FROM (SELECT program_id, min(cell) AS cell FROM cells GROUP BY program_id) c
    JOIN proposals p ON p.id = c.program_id JOIN standings s ON s.proposal_id = p.id
    ORDER BY s.standing DESC, p.id
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of one run: new ``programs``, ``duplicates`` of what was there, ``cells`` taken."""

    run: str
    programs: int
    duplicates: int
    cells: int


def merge_runs(target: Path, sources: Sequence[Path]) -> list[Imported]:
    """Imports the elites of the runs ``sources`` into the run ``target``: all of it or, when this raises, nothing.

    They use no evaluation of the target's budget. Raises DatabaseBusy while another process writes the target,
    RunError when a run is of another problem or a source has an older schema.
    """
    for source in sources:
        if source.resolve() == target.resolve():
            raise RunError(f"{source} is the run to import into; name other runs")
    with Database.open(target) as database, database.transaction():
        connection = database.connection
        run, clock = queries.record(connection, target), Clock(loading.last_end(connection))
        return [_import(connection, run, source, clock) for source in sources]


def _import(connection: sqlite3.Connection, run: Mapping[str, Any], folder: Path, clock: Clock) -> Imported:
    with connections.reading(folder) as source:
        other = queries.record(source, folder)
        if different := [*differences(run, other), *_changed_inputs(connection, source)]:
            named = ", ".join(different[:NAMED]) + f" and {len(different) - NAMED} more" * (len(different) > NAMED)
            raise RunError(
                f"run {other['id']} was scored otherwise than {run['id']}: {named} differ; "
                "import from runs of the same problem only"
            )
        islands = int(run["config"].get("config", {}).get("search", {}).get("islands", 1))
        programs = duplicates = cells = 0
        for elite in connections.dicts(source, _ELITES):
            if _known(connection, elite):
                duplicates += 1
                continue
            programs += 1
            cells += _add(connection, source, elite, other["id"], elite["island"] % islands, clock.next())
    data = {"run": other["id"], "programs": programs, "duplicates": duplicates, "cells": cells}
    _insert(connection, "events", {"created": clock.now(), "kind": "import", "data": to_json(data)})
    return Imported(other["id"], programs, duplicates, cells)


def differences(run: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """What two runs do not have in common of all that decides a score; names of files and settings."""
    for name in ("problem", "profile", "direction"):
        if run[name] != other[name]:
            yield name
    for part in sorted(run["digests"].keys() | other["digests"].keys()):
        if not part.startswith(_UNSCORED_PARTS) and run["digests"].get(part) != other["digests"].get(part):
            yield part
    settings, others = run["config"], other["config"]
    if settings.get("donors") != others.get("donors"):
        yield "donors"
    # A prepared folder is named by the digest of all that it was made from; where it lies says nothing.
    if Path(settings.get("prepared") or "").name != Path(others.get("prepared") or "").name:
        yield "prepared data"
    if _dtype(settings) != _dtype(others):
        yield "evaluation.dtype"


def _changed_inputs(connection: sqlite3.Connection, source: sqlite3.Connection) -> list[str]:
    """Items and donors whose content differs, as far as both runs noted it."""
    own, other = inputs.newest(connection) or {}, inputs.newest(source) or {}
    return sorted(name for name in own.keys() & other.keys() if own[name] != other[name])


def _dtype(settings: Mapping[str, Any]) -> Any:
    return settings.get("config", {}).get("evaluation", {}).get("dtype")


def _known(connection: sqlite3.Connection, elite: Mapping[str, Any]) -> bool:
    source, plan = elite["source_digest"], elite["plan_digest"]
    return (source is not None and loading.match_source(connection, source, 0) is not None) or (
        plan is not None and loading.match_plan(connection, plan, 0) is not None
    )


def _add(
    connection: sqlite3.Connection,
    source: sqlite3.Connection,
    elite: Mapping[str, Any],
    run: str,
    island: int,
    moment: str,
) -> bool:
    """Writes one program with what belongs to it; returns whether it took a cell."""
    for table, key in (("sources", "text_digest"), ("plans", "plan_digest")):
        for row in connections.dicts(source, f"SELECT * FROM {table} WHERE {key} = ?", (elite[key],)):
            _insert(connection, table, row, ignore=True)
    where = (island, elite["cell"])
    held = connection.execute("SELECT score FROM cells WHERE island = ? AND cell = ?", where).fetchone()
    takes = held is None or elite["standing"] > held[0]  # of equals the older one stays
    origin = {"run": run, "program": elite["id"]} | {key: elite[key] for key in ("generation", "patch", "proposer")}
    copied = ("description", "text_digest", "source_digest", "plan_digest", "knobs")
    number = _insert(connection, "proposals", {
        **{name: elite[name] for name in copied}, "state": "scored", "island": island, "generation": 0, "patch": IMPORT,
        "proposer": IMPORT, "archive_status": "new" if held is None else "improve_existing" if takes else "not_added",
        "cost_usd": 0.0, "note": to_json(origin), "proposed_at": moment, "finished_at": moment,
    })  # fmt: skip
    made = "SELECT * FROM evaluations WHERE proposal_id = ? ORDER BY id"
    for evaluation in connections.dicts(source, made, (elite["id"],)):
        if evaluation["split"] not in SPLITS or evaluation["stopped"] is not None:
            continue
        old = evaluation.pop("id")
        new = _insert(connection, "evaluations", {**evaluation, "proposal_id": number, "created": moment})
        for row in connections.dicts(source, "SELECT * FROM provenance WHERE evaluation_id = ?", (old,)):
            _insert(connection, "provenance", {**row, "evaluation_id": new})
    if takes:
        values = (*where, number, elite["standing"], moment)
        connection.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?)", values)
    return takes


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any], *, ignore: bool = False) -> int:
    return int(connection.execute(insertion(table, tuple(row), ignore=ignore), tuple(row.values())).lastrowid or 0)
