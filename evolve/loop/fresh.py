"""Fresh items for the best elites, so that the best of the archive is not its luckiest member.

Every ``fresh_every`` evaluations the best elite without one gets an evaluation on the split ``fresh``. From then on its
standing is the mean over the items of both splits. Cells compare standings; those that were beaten by the search score
alone are offered again, so that a cell depends on what was evaluated and not on the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from evolve.features import cell_key
from evolve.loop.archiving import program_of
from evolve.loop.finale import evaluate_all
from evolve.loop.parts import Parts
from evolve.search.archive import Archive
from evolve.store import standings
from evolve.store.records import Cell, ScoredProgram

SPLIT = "fresh"


class Freshener:
    """Decides when an elite is due and keeps archive and database in step with what its evaluation says."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._interval = parts.config.evaluation.fresh_every if SPLIT in parts.splits else 0
        self._done = standings.verified(parts.database.connection)
        self._rounds = parts.database.counts().evaluations // self._interval if self._interval else 0

    def due(self, evaluations: int) -> int | None:
        """The elite to evaluate on fresh items after so many evaluations; None where it is not time or none is left."""
        if not self._interval or evaluations // self._interval <= self._rounds:
            return None
        self._rounds = evaluations // self._interval
        chosen = unverified_best(self._parts.archive, self._done)
        if chosen is not None:
            self._done.add(chosen)
        return chosen

    async def refresh(self, number: int) -> None:
        """Evaluates an elite on fresh items and gives it its new standing."""
        parts = self._parts
        await evaluate_all(parts, [number], SPLIT)
        standing = standings.standing(parts.database.connection, number)
        held = parts.archive.find(number)
        if held is None or standing == held.score:
            return
        before = held.score
        parts.database.add_event("fresh", {"search": before, "standing": standing}, number)
        parts.database.put_cells(restate(parts.archive, number, standing, parts.database.scored_above))


def unverified_best(archive: Archive, verified: Iterable[int]) -> int | None:
    """The elite with the highest score that has not been evaluated on fresh items, the older one of equals."""
    known = set(verified)
    waiting = [program for program in archive.elites() if program.id not in known]
    return max(waiting, key=lambda program: (program.score, -program.id)).id if waiting else None


def restate(
    archive: Archive, number: int, standing: float, above: Callable[[float], Iterable[ScoredProgram]]
) -> list[Cell]:
    """Gives an elite its standing and offers again who beats it now; returns the cells that changed.

    ``above`` reads the programs over a score. An elite that has risen keeps its cells.
    """
    held = archive.find(number)
    if held is None:
        return []
    held.score = standing
    place = archive.cell(held)
    for row in above(standing):
        rival = program_of(row)
        if rival.id != number and archive.cell(rival) == place:
            archive.add(rival)
    changed = []
    for island in archive.islands:
        holder = archive.occupancy(island).get(place)
        if holder is not None:
            changed.append(Cell(island, cell_key(place), holder.id, holder.score))
    return changed
