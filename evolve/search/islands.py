"""Exchange between islands: ring migration of copies, and new starts for islands that stand still."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evolve.search.archive import AddStatus, Archive, Program

MIGRANT_SHARE = 0.1
RESEED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Move:
    """A copy of a program that took a cell of an island it was not on."""

    island: int
    program: Program
    status: AddStatus


class Islands:
    """Decides after each evaluation whether programs move. Copies are not evaluations and are never counted as such.

    Every ``interval`` evaluations each island sends copies of its best elite and of a tenth of the others to the next
    island of the ring. An island whose best score has not risen for ``stagnation`` of its own evaluations is cleared
    and given copies of a quarter of the elites of all islands, unless the best program of all was born there. Zero
    switches either off; a single island does neither. An island that is new in a resumed run has nothing to send yet
    and receives like the others.
    """

    def __init__(
        self,
        archive: Archive,
        interval: int,
        stagnation: int = 0,
        *,
        evaluations: int = 0,
        fruitless: Mapping[int, int] | None = None,
    ) -> None:
        """When a run is resumed, ``evaluations`` are those made before, ``fruitless`` those of each island since its
        best elite took its cell."""
        self._archive = archive
        self._interval = interval
        self._stagnation = stagnation
        self._evaluations = evaluations
        self._migrated_at = evaluations
        self._best = [-math.inf for _ in archive.islands]
        self._fruitless = [0 for _ in archive.islands]
        for island in archive.islands:
            self._note_best(island)
        for island, count in (fruitless or {}).items():
            if island in archive.islands:
                self._fruitless[island] = count

    def record(self, island: int, score: float) -> None:
        """Counts one evaluation of a program born on ``island``; call it after ``Archive.add``."""
        self._evaluations += 1
        improved = score > self._best[island]
        self._fruitless[island] = 0 if improved else self._fruitless[island] + 1
        self._best[island] = max(score, self._best[island])

    def migrate(self, rng: np.random.Generator) -> list[Move]:
        """Moves copies around the ring when it is time; returns those that took a cell."""
        count = len(self._archive.islands)
        if (
            count < 2
            or self._interval < 1
            or self._evaluations // self._interval == self._migrated_at // self._interval
        ):
            return []
        self._migrated_at = self._evaluations
        # All senders choose before anyone receives, so that no copy travels two islands in one round.
        travellers = [(sender, self._migrants(sender, rng)) for sender in self._archive.islands]
        return [move for sender, programs in travellers for move in self._place(programs, (sender + 1) % count)]

    def reseed(self, rng: np.random.Generator) -> dict[int, list[Move]]:
        """Gives stagnant islands a new start; returns the new elites of each island that was cleared."""
        archive = self._archive
        if len(archive.islands) < 2 or self._stagnation < 1 or max(self._fruitless) < self._stagnation:
            return {}
        best = archive.best()
        if best is None:
            return {}
        renewed = {}
        for island in archive.islands:
            if self._fruitless[island] < self._stagnation or best.island == island:
                continue
            everywhere = archive.elites()
            wanted = math.ceil(RESEED_SHARE * len(everywhere))
            chosen = sorted(int(index) for index in rng.choice(len(everywhere), size=wanted, replace=False))
            archive.clear(island)
            self._best[island], self._fruitless[island] = -math.inf, 0
            renewed[island] = self._place([everywhere[index] for index in chosen], island)
        return renewed

    def _migrants(self, island: int, rng: np.random.Generator) -> list[Program]:
        best = self._archive.best(island)
        if best is None:
            return []
        others = [program for program in self._archive.elites(island) if program is not best]
        if not others:
            return [best]
        drawn = rng.choice(len(others), size=math.ceil(MIGRANT_SHARE * len(others)), replace=False)
        return [best, *(others[int(index)] for index in drawn)]

    def _place(self, programs: list[Program], island: int) -> list[Move]:
        offered = [Move(island, program, self._archive.add(program, island)) for program in programs]
        self._note_best(island)
        return [move for move in offered if move.status > AddStatus.NOT_ADDED]

    def _note_best(self, island: int) -> None:
        best = self._archive.best(island)
        if best is not None and best.score > self._best[island]:
            self._best[island], self._fruitless[island] = best.score, 0
