from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import EvaluatorError, EvolveError
from evolve.search.archive import AddStatus, Archive, Program
from evolve.search.features import FeatureAxis

Make = Callable[..., Program]
LINE = (FeatureAxis("x", 0.0, 1.0, 4),)

# (score, x, island): few values, so that ties and crowded cells are common
OFFERS = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.5]), st.sampled_from([0.1, 0.4, 0.9]), st.integers(0, 1)), max_size=30
)


def holdings(archive: Archive) -> list[dict[tuple[int, ...], int]]:
    places = [None, *archive.islands]
    return [{cell: program.id for cell, program in archive.occupancy(place).items()} for place in places]


def test_statuses_are_ordered_and_named_for_the_database() -> None:
    assert AddStatus.NOT_ADDED < AddStatus.IMPROVE_EXISTING < AddStatus.NEW
    assert [status.word for status in AddStatus] == ["not_added", "improve_existing", "new"]


def test_a_cell_keeps_its_best_and_of_equals_the_older(axes, make: Make) -> None:
    archive = Archive(axes)
    assert archive.add(make(5, 0.5, 0.1)) is AddStatus.NEW
    assert archive.add(make(6, 0.5, 0.1)) is AddStatus.NOT_ADDED
    assert archive.add(make(4, 0.5, 0.1)) is AddStatus.IMPROVE_EXISTING
    assert archive.add(make(7, 0.4, 0.1)) is AddStatus.NOT_ADDED
    assert archive.add(make(8, 0.6, 0.1)) is AddStatus.IMPROVE_EXISTING
    assert [program.id for program in archive.elites()] == [8]
    assert archive.find(8) is not None
    assert archive.find(4) is None


def test_islands_are_separate_and_the_whole_sees_all(axes, make: Make) -> None:
    archive = Archive(axes, islands=2)
    archive.add(make(1, 0.9, 0.1, island=0))
    assert archive.add(make(2, 0.1, 0.1, island=1)) is AddStatus.NEW
    archive.add(make(3, 0.2, 0.9, island=1))
    assert [program.id for program in archive.elites(1)] == [2, 3]
    assert [program.id for program in archive.elites()] == [1, 3]
    best = archive.best(1)
    assert best is not None
    assert best.id == 3


@given(OFFERS, st.randoms())
def test_the_order_of_offers_does_not_matter(offers: list[tuple[float, float, int]], random) -> None:
    programs = [Program(i, score, {"x": x}, island) for i, (score, x, island) in enumerate(offers, start=1)]
    archives = Archive(LINE, 2), Archive(LINE, 2)
    for archive in archives:
        for program in programs:
            archive.add(program)
        random.shuffle(programs)
    assert holdings(archives[0]) == holdings(archives[1])
    assert [p.id for p in archives[0].elites()] == [p.id for p in archives[1].elites()]


@given(OFFERS, st.lists(st.tuples(st.integers(0, 1), st.integers(1, 30), st.booleans()), max_size=10))
def test_what_is_held_can_be_found_and_nothing_else(offers, moves) -> None:
    archive = Archive(LINE, 2)
    programs = {i: Program(i, score, {"x": x}, island) for i, (score, x, island) in enumerate(offers, start=1)}
    for program in programs.values():
        archive.add(program)
    for island, number, clears in moves:
        if clears:
            archive.clear(island)
        elif number in programs:
            archive.add(programs[number], island)
    held = {p.id for place in (None, *archive.islands) for p in archive.elites(place)}
    assert {number for number in programs if archive.find(number)} == held
    assert all(any(archive.find(n) is p for p in archive.occupancy().values()) or n in held for n in held)


def test_copies_share_their_counts(axes, make: Make) -> None:
    archive = Archive(axes, islands=2)
    archive.add(make(1, 0.5, 0.1))
    archive.add(make(1, 0.5, 0.1), island=1)
    archive.begin_child(1)
    archive.begin_child(1)
    archive.child_archived(1)
    archive.begin_child(99)
    for place in (None, 0, 1):
        (program,) = archive.elites(place)
        assert (program.children, program.archived_children) == (2, 1)


def test_a_cleared_island_stays_in_the_memory_of_the_whole(archive: Archive) -> None:
    archive.clear(0)
    assert archive.elites(0) == ()
    assert len(archive.elites()) == 10
    best = archive.best()
    assert best is not None
    assert best.score == 0.9


def test_measures(archive: Archive, axes) -> None:
    assert (archive.size, archive.filled(), archive.filled(1)) == (100, 10, 0)
    assert archive.coverage() == 0.1
    assert archive.qd_score() == pytest.approx(4.5)
    assert archive.qd_score(floor=-1.0) == pytest.approx(14.5)
    assert list(archive.occupancy(0)) == [(column, 0) for column in range(10)]
    empty = Archive(axes)
    assert (empty.best(), empty.coverage(), empty.qd_score(), empty.elites()) == (None, 0.0, 0.0, ())


def test_without_axes_there_is_one_cell(make: Make) -> None:
    archive = Archive(())
    archive.add(make(1, 0.5, 0.1))
    assert archive.add(make(2, 0.6, 0.9)) is AddStatus.IMPROVE_EXISTING
    assert (archive.size, archive.coverage()) == (1, 1.0)


def test_outcomes_become_an_array(make: Make) -> None:
    assert make(1, 0.5, 0.1, outcomes=(1.0, 0.0)).outcomes.dtype == np.float64
    assert make(1, 0.5, 0.1).outcomes.shape == (0,)


def test_errors_name_what_is_wrong(archive: Archive, make: Make) -> None:
    with pytest.raises(EvolveError, match="no island 2; this archive has islands 0 to 1"):
        archive.add(make(1, 0.5, 0.1), island=2)
    with pytest.raises(EvolveError, match="archive of 0 islands"):
        Archive((), islands=0)
    before = holdings(archive)
    with pytest.raises(EvaluatorError, match="no feature 'x'"):
        archive.add(Program(99, 1.0, {}))
    assert holdings(archive) == before


def test_a_prospect_is_a_parent_of_a_cell_without_an_elite_and_nothing_else(axes, make: Make) -> None:
    archive = Archive(axes, islands=2)
    archive.add(make(1, 0.5, 0.15))
    archive.hope(make(2, 0.9, 0.15))
    archive.hope(make(3, 0.2, 0.35))
    archive.hope(make(4, 0.1, 0.35))
    assert [program.id for program in archive.parents(0)] == [program.id for program in archive.parents()] == [1, 3]
    assert archive.parents(1) == ()
    assert [program.id for program in archive.elites()] == [archive.best().id] == [1]
    assert (archive.filled(), archive.occupancy(0).keys()) == (1, {(1, 0)})
    assert (archive.find(2).score, archive.find(3).score, archive.find(4)) == (0.9, 0.2, None)
    archive.begin_child(3)
    assert archive.find(3).children == 1
    archive.hope(make(5, 0.3, 0.35))
    assert ([program.id for program in archive.parents(0)], archive.find(3)) == ([1, 5], None)
    archive.add(make(6, 0.0, 0.35))
    assert [program.id for program in archive.parents(0)] == [1, 6]
    archive.clear(0)
    assert (archive.parents(0), archive.find(5)) == ((), None)
    assert [program.id for program in archive.parents()] == [1, 6], "the grid over all islands forgets no elite"
