"""The grid as it is read from cells that the real writer wrote."""

from __future__ import annotations

import math

import pytest

from evolve.errors import RunError, UsageError
from evolve.features import FeatureAxis
from evolve.store import grid
from evolve.store.records import Cell

AXES = (FeatureAxis("length", 0.0, 1.0, 4), FeatureAxis("depth", 0.0, 2.0, 2))


@pytest.fixture
def written(filled):
    """Programs 1, 2, 3 and 7 on two islands; 3 holds a cell on either."""
    filled.replace_island(0, [Cell(0, "0,0", 1, 0.1), Cell(0, "0,1", 2, 0.2), Cell(0, "3,1", 3, 0.9)])
    filled.put_cells([Cell(1, "0,0", 7, 0.5), Cell(1, "3,1", 3, 0.9)])
    return filled


def test_several_islands_together_show_the_best_of_each_cell(written):
    whole = grid.read(written.connection, AXES)
    assert {cell: row["program"] for cell, row in whole.elites.items()} == {(0, 0): 7, (0, 1): 2, (3, 1): 3}
    assert (whole.islands, whole.size, whole.coverage) == ((0, 1), 8, 3 / 8)
    assert whole.elites[0, 0]["island"] == 1
    assert whole.best["program"] == 3
    assert whole.qd_score(0.0) == math.fsum((0.5, 0.2, 0.9))
    assert whole.qd_score(-1.0) == pytest.approx(4.6)


def test_one_island_shows_its_own_cells(written):
    one = grid.read(written.connection, AXES, 0)
    assert {cell: row["program"] for cell, row in one.elites.items()} == {(0, 0): 1, (0, 1): 2, (3, 1): 3}
    assert one.islands == (0,)
    with pytest.raises(UsageError, match="island 2 holds no cell in this run; islands that do: 0, 1"):
        grid.read(written.connection, AXES, 2)


def test_of_equal_elites_the_older_one_is_shown(written):
    written.put_cells([Cell(1, "0,0", 7, 0.1)])
    assert grid.read(written.connection, AXES).elites[0, 0]["program"] == 1


def test_an_empty_archive_has_no_best(database):
    empty = grid.read(database.connection, AXES)
    assert (empty.best, empty.coverage, empty.qd_score(0.0)) == (None, 0.0, 0.0)


@pytest.mark.parametrize("axes", [AXES[:1], (AXES[0], FeatureAxis("depth", 0.0, 2.0, 1))])
def test_cells_that_the_axes_lack_are_refused(written, axes):
    with pytest.raises(RunError, match="is not in the grid of the problem"):
        grid.read(written.connection, axes)


def test_a_grid_without_axes_has_one_cell(database, ask, score):
    score(database, ask(database), 0.5, cell="all")
    assert grid.read(database.connection, ()).coverage == 1.0
