from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from evolve.search.archive import Archive, Program
from evolve.search.inspirations import complement, inspirations, mate

Make = Callable[..., Program]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("count", [0, 1, 4, 9, 50])
def test_other_cells_from_worst_to_best_with_the_best_among_them(archive: Archive, count: int) -> None:
    parent = archive.elites(0)[3]
    for seed in range(20):
        found = inspirations(archive, parent, 0, count, generator(seed))
        assert len({program.id for program in found} - {parent.id}) == min(count, 9) == len(found)
        assert [program.score for program in found] == sorted(program.score for program in found)
        assert not found or found[-1].id == 10


def test_excluded_programs_stay_out(archive: Archive) -> None:
    found = inspirations(archive, archive.elites(0)[0], 0, 50, generator(), exclude=[10, 9])
    assert [program.id for program in found] == [2, 3, 4, 5, 6, 7, 8]


def test_other_islands_fill_up_but_not_from_the_parents_cell(axes, make: Make) -> None:
    archive = Archive(axes, islands=2)
    parent = make(1, 0.5, 0.1, island=0)
    for program in (parent, make(2, 0.9, 0.1, island=1), make(3, 0.2, 0.5, island=1), make(4, 0.3, 0.5, island=0)):
        archive.add(program)
    archive.add(make(5, 0.1, 0.9, island=1))
    assert [program.id for program in inspirations(archive, parent, 0, 5, generator())] == [5, 4]
    assert inspirations(Archive(axes), parent, 0, 5, generator()) == []


def test_complement_counts_what_only_the_other_solves(make: Make) -> None:
    parent = make(1, 0.5, 0.1, outcomes=(1, 1, 0, 0.5))
    assert complement(parent, make(2, 0.5, 0.1, outcomes=(0, 0, 1, 1))) == pytest.approx(1.5 / 4)
    assert complement(parent, make(3, 0.5, 0.1, outcomes=(1, 1, 0, 0))) == 0.0
    assert complement(parent, make(4, 0.5, 0.1, outcomes=(1, 1))) == 0.0
    assert complement(make(5, 0.5, 0.1), make(6, 0.5, 0.1)) == 0.0
    nan = float("nan")
    assert complement(parent, make(7, 0.5, 0.1, outcomes=(nan, nan, nan, 1))) == 1.0 - parent.outcomes[3]
    assert complement(parent, make(8, 0.5, 0.1, outcomes=(nan, nan, nan, nan))) == 0.0


def test_a_mate_solves_what_the_parent_fails(axes, make: Make) -> None:
    archive = Archive(axes)
    parent = make(1, 0.5, 0.05, outcomes=(1, 1, 0, 0))
    archive.add(parent)
    archive.add(make(2, 0.75, 0.15, outcomes=(1, 1, 0, 0)))
    archive.add(make(3, 0.25, 0.25, outcomes=(0, 0, 1, 0)))
    archive.add(make(4, 0.1, 0.35, outcomes=(0, 0, 1, 1)))
    rng = generator()
    drawn = Counter(mate(archive, parent, rng).id for _ in range(3000))  # type: ignore[union-attr]
    assert set(drawn) == {3, 4}
    assert drawn[4] / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_without_items_any_other_elite_is_a_mate(archive: Archive) -> None:
    parent, rng = archive.elites(0)[0], generator()
    drawn = {mate(archive, parent, rng).id for _ in range(300)}  # type: ignore[union-attr]
    assert drawn == set(range(2, 11))


def test_a_lonely_parent_has_no_mate(axes, make: Make) -> None:
    archive = Archive(axes)
    archive.add(make(1, 0.5, 0.1))
    assert mate(archive, archive.elites()[0], generator()) is None
