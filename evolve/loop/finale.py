"""The end of a run: the validation split chooses the winner, the sealed test split is read once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from evolve.errors import EvolveError
from evolve.loop import lifecycle
from evolve.loop.parts import Parts
from evolve.store import queries


async def conclude(parts: Parts) -> int | None:
    """Evaluates finalists and baselines on the other splits, records the winner and returns its id.

    Without a validation split the best of the search split wins. Programs that already have an evaluation keep it, so
    an interrupted conclusion goes on where it was.
    """
    connection = parts.database.connection
    finalists: list[int] = [
        row["id"] for row in queries.programs(connection, limit=parts.config.evaluation.finalists, state="scored")
    ]
    if not finalists:
        return None
    baselines = [row["id"] for row in queries.baselines(connection) if row["state"] == "scored"]
    winner = finalists[0]
    if "validation" in parts.splits:
        parts.status.phase = "validating"
        await evaluate_all(parts, [*finalists, *baselines], "validation")
        scores = {number: _score(parts, number, "validation") for number in finalists}
        winner = max(finalists, key=lambda number: (scores[number], -finalists.index(number)))
    if "test" in parts.splits:
        parts.status.phase = "testing"
        await evaluate_all(parts, [winner, *baselines], "test")
    parts.database.set_winner(winner)
    parts.status.phase = "finished"
    parts.observer.update(parts.status)
    return winner


async def evaluate_all(parts: Parts, programs: Iterable[int], split: str) -> None:
    """Evaluates each program on ``split`` unless it has been; a program that fails there is reported and left out."""
    parts.observer.update(parts.status)
    waiting = [number for number in dict.fromkeys(programs) if not _has(parts, number, split)]
    await asyncio.gather(*(_evaluate(parts, number, split) for number in waiting))


def work_of(parts: Parts, number: int) -> dict[str, Any]:
    """What a worker needs to evaluate a stored program."""
    row = queries.program(parts.database.connection, number)
    return {"plan": row["plan"]} if parts.problem.kind == "merge" else {"source": row["source"]}


async def _evaluate(parts: Parts, number: int, split: str) -> None:
    try:
        scored = await lifecycle.evaluate(parts, work_of(parts, number), split)
    except EvolveError as error:
        parts.observer.message(f"program {number} has no {split} score: {error}")
        parts.database.add_event("split_failed", {"split": split, "message": str(error)}, number)
        return
    parts.database.add_evaluation(number, scored.evaluation, split=split, seconds=scored.seconds, phases=scored.phases)


def _has(parts: Parts, number: int, split: str) -> bool:
    return any(row["split"] == split for row in queries.evaluations(parts.database.connection, number))


def _score(parts: Parts, number: int, split: str) -> float:
    rows = queries.evaluations(parts.database.connection, number)
    return next((row["score"] for row in rows if row["split"] == split), float("-inf"))
