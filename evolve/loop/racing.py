"""What workers are told so that they can give candidates up early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evolve.config import RunConfig
from evolve.evaluate.splits import Splits
from evolve.features import cell_key
from evolve.loop.parts import Parts
from evolve.problem import Problem
from evolve.racing import Race, looks_at, race_order
from evolve.search.archive import Program
from evolve.store import standings, tasks
from evolve.store.database import Database

WEIGHTED = "candidates are not raced: the score is a weighted mean of tasks, not the mean of all items"


class Racing:
    """The races of a run: one order of the items for all, and the elites of the moment as rivals."""

    def __init__(self, parts: Parts) -> None:
        """Reads the items once, to draw the order of a new run; a resumed one keeps its own."""
        evaluation = parts.config.evaluation
        self._parts = parts
        self._notes: set[str] = set()
        if evaluation.racing and tasks.strata(parts.database.connection, "search") is not None:
            self.remark(WEIGHTED)
        self._order = _order(parts.database, parts.problem, parts.config) if evaluation.racing else []
        self._looks = looks_at(len(self._order), evaluation.racing_batches) if self._order else []

    def request(self, island: int, whole: bool = False) -> dict[str, Any]:
        """What is added to the work of a candidate of ``island``; nothing where candidates are not raced.

        ``whole`` (for seeds and ablations) names no rivals, but the batches are the same: rounding may depend on them.
        """
        if not self._order:
            return {}
        archive, evaluation = self._parts.archive, self._parts.config.evaluation
        axes = [(axis.name, axis.low, axis.high, axis.bins) for axis in archive.axes]
        held = {} if whole else archive.occupancy(island)
        rivals = {cell_key(cell): program.outcomes.tolist() for cell, program in held.items()}
        race = Race(self._order, self._looks, evaluation.racing_alpha, axes, rivals, _floor(list(held.values())))
        return {"race": race.to_dict()}

    def remark(self, note: str) -> None:
        """Shows a worker's note, once."""
        if note and note not in self._notes:
            self._notes.add(note)
            self._parts.observer.message(note)


def _floor(elites: list[Program]) -> list[float] | None:
    """The outcomes of the median elite, which a program in an empty cell must beat to become a parent soon."""
    if not elites:
        return None
    ranked = sorted(elites, key=lambda program: (program.score, -program.id))
    return list(ranked[(len(ranked) - 1) // 2].outcomes)


def _order(database: Database, problem: Problem, config: RunConfig) -> list[int]:
    if known := standings.racing_order(database.connection):
        return known
    if problem.kind != "merge" or problem.sign < 0 or tasks.strata(database.connection, "search") is not None:
        return []
    order = race_order(search_items(database, problem), config.seed)
    database.add_event("racing", {"order": order})
    return order


def search_items(database: Database, problem: Problem) -> list[dict[str, Any]]:
    """The items of the search split."""
    made = database.run.config.get("prepared")
    return Splits(problem.splits(Path(made) if made else None)).items("search")
