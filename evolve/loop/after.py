"""What can be done with a run's programs afterwards: read the test split, export a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evolve.errors import ProblemError, RunError
from evolve.loop.card import model_card
from evolve.loop.finale import evaluate_all, work_of
from evolve.loop.observer import Observer
from evolve.loop.start import Intent, assembled
from evolve.store import queries


def _alone(intent: Intent) -> Intent:
    """The run with a single worker."""
    return replace(intent, config=replace(intent.config, evaluation=replace(intent.config.evaluation, workers=1)))


async def test(intent: Intent, number: int, observer: Observer) -> None:
    """Evaluates one program on the test split unless it has been. Raises ProblemError when there is no such split."""
    if "test" not in intent.problem.profile.splits:
        raise ProblemError(
            f"problem {intent.problem.name} has no test split in profile {intent.problem.profile_name!r}"
        )
    async with assembled(_alone(intent), observer) as parts:
        await evaluate_all(parts, [number], "test")
        if not queries.outcomes(parts.database.connection, number, "test"):
            raise RunError(f"program {number} could not be evaluated on the test split; see the message above")


async def export(intent: Intent, number: int, target: Path, observer: Observer) -> None:
    """Writes the merged model of a program as a verified checkpoint."""
    async with assembled(_alone(intent), observer) as parts:
        card = model_card(parts, number)
        await parts.pool.export(work_of(parts, number)["plan"], target.absolute(), card)
