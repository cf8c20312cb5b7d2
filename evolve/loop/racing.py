"""What workers are told so that they can give candidates up early."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.config import RunConfig
from evolve.evaluate.splits import Splits
from evolve.loop.parts import Parts
from evolve.problem import Problem
from evolve.racing import Race, free_looks, looks_at, race_order
from evolve.statistics import is_mean
from evolve.store import standings, tasks
from evolve.store.database import Database

if TYPE_CHECKING:
    from evolve.search.archive import Program

WEIGHTED = "candidates are not raced: the score is a weighted mean of tasks, not the mean of all items"

NO_MEAN = "candidates are not raced: the score is not the mean of outcomes, one for each item"


class Racing:
    """The races of a run: one order of the items for all, and the best program of the moment as the rival.

    Who lost becomes a prospect of the archive: a parent, but no elite.
    """

    def __init__(self, parts: Parts) -> None:
        """Reads the items once, to draw the order of a new run; a resumed one keeps its own."""
        evaluation = parts.config.evaluation
        self._parts = parts
        self._notes: set[str] = set()
        self._means: dict[int, bool] = {}
        self._seen = 0
        if evaluation.racing and tasks.strata(parts.database.connection, "search") is not None:
            self.remark(WEIGHTED)
        self._order = _order(parts.database, parts.problem, parts.config) if evaluation.racing else []
        self._looks = self._planned() if self._order else []
        self._take_prospects()

    def _planned(self) -> list[int]:
        batches = self._parts.config.evaluation.racing_batches
        items = len(self._order)
        return looks_at(items, batches) if batches else free_looks(items, int(self._parts.pool.info["batch_rows"]))

    def request(self, whole: bool = False) -> dict[str, Any]:
        """What is added to the work of a candidate; nothing where candidates are not raced.

        ``whole`` (for seeds and ablations) names no rival, but the batches are the same: rounding may depend on them.
        """
        if not self._order:
            return {}
        self._take_prospects()
        best = None if whole else self._parts.archive.best()
        if best is not None and not self._is_mean(best):
            self.remark(NO_MEAN)
            return {}
        rival = None if best is None else best.outcomes.tolist()
        return {"race": Race(self._order, self._looks, self._parts.config.evaluation.racing_alpha, rival).to_dict()}

    def _is_mean(self, program: Program) -> bool:
        """Whether a search score is the mean of the outcomes; parts of the items say nothing otherwise."""
        if program.id not in self._means:
            # Not the archive's score, which may be over fresh items too.
            row = self._parts.database.program(program.id)
            self._means[program.id] = row.score is not None and is_mean(row.score, row.outcomes)
        return self._means[program.id]

    def _take_prospects(self) -> None:
        """Offers the archive what has lost a race since the last time, in a new process all that ever did."""
        import numpy as np

        from evolve.search.archive import Program

        connection, archive = self._parts.database.connection, self._parts.archive
        order = standings.racing_order(connection)
        for row in standings.raced(connection, self._seen):
            self._seen = row.evaluation
            outcomes = np.full(len(order), np.nan)
            outcomes[order[: len(row.outcomes)]] = row.outcomes
            archive.hope(Program(row.program, row.score, row.features, row.island, row.children, outcomes=outcomes))

    def remark(self, note: str) -> None:
        """Shows a worker's note, once."""
        if note and note not in self._notes:
            self._notes.add(note)
            self._parts.observer.message(note)


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
