"""The end of a run: validation items choose the winner, the sealed test split is read once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from evolve.errors import EvolveError, RunError
from evolve.loop import lifecycle
from evolve.loop.parts import Parts
from evolve.loop.tasks import note_tasks
from evolve.statistics import is_mean
from evolve.store import queries, standings

SPLITS = ("search", "validation")


async def conclude(parts: Parts) -> int | None:
    """Evaluates finalists and baselines on the other splits, records the winner and returns its id.

    Finalists are the programs with the highest standing, whichever strategy proposed them. The winner has the highest
    mean over search and validation items together, which gives a better program than the validation items alone
    (docs/statistics.md); where scores are no means of outcomes, the highest validation score. Without a validation
    split the best of the search split wins. Held-out tasks are read after that, by the winner and the baselines.
    Programs that already have an evaluation keep it, so an interrupted conclusion goes on where it was.
    """
    connection = parts.database.connection
    finalists = standings.best(connection, parts.config.evaluation.finalists)
    if not finalists:
        return None
    baselines = [row["id"] for row in queries.baselines(connection) if row["state"] == "scored"]
    winner = finalists[0]
    if "validation" in parts.splits:
        parts.status.phase = "validating"
        await evaluate_all(parts, [*finalists, *baselines], "validation")
        # Where every finalist fails on the validation items a seed may not.
        winner = chosen(connection, list(dict.fromkeys([*finalists, *baselines])))
    if "test" in parts.splits:
        parts.status.phase = "testing"
        await evaluate_all(parts, [winner, *baselines], "test")
    if "held_out" in parts.splits:
        parts.status.phase = "testing held-out tasks"
        await evaluate_all(parts, [winner, *baselines], "held_out")
    parts.database.set_winner(winner)
    parts.status.phase = "finished"
    parts.observer.update(parts.status)
    return winner


def chosen(connection: sqlite3.Connection, finalists: Sequence[int]) -> int:
    """The winner among finalists, the one with the higher standing of equals; one without a validation score loses."""
    validated = [number for number in finalists if _score(connection, number, "validation") is not None]
    scores = {number: _score(connection, number, "validation") for number in validated}
    if all(_is_mean(connection, number) for number in validated):
        scores = {number: standings.pooled(connection, number, SPLITS) for number in validated}
    return max(validated or finalists[:1], key=lambda number: (scores.get(number, 0.0), -finalists.index(number)))


async def evaluate_all(parts: Parts, programs: Iterable[int], split: str) -> None:
    """Evaluates each program on ``split`` unless it has been; a program that fails there is reported and left out."""
    parts.observer.update(parts.status)
    note_tasks(parts.database, parts.problem, split)
    waiting = [number for number in dict.fromkeys(programs) if not _has(parts, number, split)]
    await asyncio.gather(*(_evaluate(parts, number, split) for number in waiting))


def work_of(parts: Parts, number: int) -> dict[str, Any]:
    """What a worker needs to evaluate a stored program."""
    row = queries.program(parts.database.connection, number)
    return {"plan": row["plan"]} if parts.problem.kind == "merge" else {"source": row["source"]}


async def _evaluate(parts: Parts, number: int, split: str) -> None:
    try:
        scored = await lifecycle.evaluate(parts, work_of(parts, number), split)
    except RunError:
        raise
    except EvolveError as error:
        parts.observer.message(f"program {number} has no {split} score: {error}")
        parts.database.add_event("split_failed", {"split": split, "message": str(error)}, number)
        return
    parts.database.add_evaluation(number, scored.evaluation, split=split, seconds=scored.seconds, phases=scored.phases)


def _has(parts: Parts, number: int, split: str) -> bool:
    return any(row["split"] == split for row in queries.evaluations(parts.database.connection, number))


def _is_mean(connection: sqlite3.Connection, number: int) -> bool:
    """Whether the program's scores on both splits are the means of its outcomes."""
    rows = [row for row in queries.evaluations(connection, number) if row["split"] in SPLITS]
    return all(is_mean(row["score"], row["outcomes"]) for row in rows)


def _score(connection: sqlite3.Connection, number: int, split: str) -> float | None:
    rows = queries.evaluations(connection, number)
    return next((row["score"] for row in rows if row["split"] == split), None)
