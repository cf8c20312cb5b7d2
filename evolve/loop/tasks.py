"""What a run notes of the tasks of a problem, so that its statistics can weigh them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evolve.evaluate.splits import Splits
from evolve.store import tasks

if TYPE_CHECKING:
    from evolve.problem import Problem
    from evolve.store.database import Database


def note_tasks(database: Database, problem: Problem, split: str) -> None:
    """Records each item's task when a split is first used; nothing for a problem without tasks. Raises ProblemError."""
    named = problem.manifest.tasks
    if not named or split not in problem.profile.splits or tasks.recorded(database.connection, split) is not None:
        return
    made = database.run.config.get("prepared")
    splits = Splits(problem.splits(Path(made) if made else None), problem.tasks)
    names = sorted(named)
    places = [names.index(str(item["task"])) for item in splits.items(split)]
    weights = {name: spec.weight for name, spec in named.items()}
    database.add_event(tasks.EVENT, {"split": split, "names": names, "weights": weights, "tasks": places})
