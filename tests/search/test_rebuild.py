"""The archive read back from the database is the archive that was written, also after migrations and new starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evolve.evaluation import Evaluation
from evolve.loop.archiving import refill
from evolve.search.archive import Archive, Program
from evolve.search.features import FeatureAxis, cell_key
from evolve.search.inspirations import inspirations, mate
from evolve.search.islands import Islands
from evolve.search.samplers import sampler
from evolve.store.database import Database
from evolve.store.records import Cell, ProposalRequest, RunRecord

ISLANDS = 3


def cell(archive: Archive, program: Program, island: int) -> Cell:
    return Cell(island, cell_key(archive.cell(program)), program.id, program.score)


def rebuilt(database: Database, axes: Sequence[FeatureAxis]) -> Archive:
    archive = Archive(axes, ISLANDS)
    refill(archive, database)
    return archive


def picture(archive: Archive) -> list[list[tuple[object, ...]]]:
    return [
        [
            (where, p.id, p.score, p.island, p.children, p.archived_children, p.outcomes.tolist())
            for where, p in archive.occupancy(place).items()
        ]
        for place in (None, *archive.islands)
    ]


def evolve(database: Database, archive: Archive, islands: Islands, steps: int) -> tuple[int, int]:
    """A run in miniature whose proposals end out of order; returns how many programs migrated and restarted."""
    choose, pending, moved, restarted = sampler("weighted"), [], 0, 0
    for step in range(steps):
        rng = np.random.default_rng([1, step])
        island = step % ISLANDS
        parent = choose.choose(archive, island, rng).id if archive.elites() else None
        number = database.begin_proposal(ProposalRequest(island, 1, "diff", "offline", parent_id=parent))
        if parent:
            archive.begin_child(parent)
        pending.append((number, island, parent))
        number, island, parent = (
            pending.pop(int(rng.integers(len(pending)))) if len(pending) > 3 or not parent else (0, 0, 0)
        )
        if not number:
            continue
        features = {"x": float(rng.integers(4)) / 4, "y": float(rng.integers(3)) / 3}
        evaluation = Evaluation(float(rng.integers(8)) / 8, {}, features, rng.integers(0, 2, size=9).tolist())
        program = Program(number, evaluation.score, features, island, outcomes=np.array(evaluation.outcomes))
        status = archive.add(program)
        if parent and status:
            archive.child_archived(parent)
        cells = [cell(archive, program, island)] if status else []
        database.add_evaluation(number, evaluation, archive_status=status.word, cells=cells)
        islands.record(island, evaluation.score)
        moves = islands.migrate(rng)
        database.put_cells(cell(archive, move.program, move.island) for move in moves)
        moved += len(moves)
        for renewed, arrived in islands.reseed(rng).items():
            database.replace_island(renewed, [cell(archive, move.program, renewed) for move in arrived])
            restarted += 1
    return moved, restarted


@pytest.mark.parametrize("steps", [5, 150])
def test_a_rebuilt_archive_is_equal_and_draws_equally(tmp_path: Path, axes, steps: int) -> None:
    folder = tmp_path / "run"
    archive = Archive(axes, ISLANDS)
    with Database.create(folder, RunRecord("run", "p", "tiny", {}, {}, 0, "0")) as database:
        moved, restarted = evolve(database, archive, Islands(archive, interval=5, stagnation=12), steps)
    if steps > 100:
        assert min(moved, restarted) > 3
    with Database.open(folder) as database:
        again = rebuilt(database, axes)
    assert picture(again) == picture(archive)
    for seed in range(20):
        assert drawn(again, seed) == drawn(archive, seed)


def drawn(archive: Archive, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    parent = sampler("weighted").choose(archive, seed % ISLANDS, rng)
    beside = inspirations(archive, parent, seed % ISLANDS, 3, rng)
    partner = mate(archive, parent, rng)
    return [parent.id, *(program.id for program in beside), partner.id if partner else 0]
