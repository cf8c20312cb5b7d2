from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evolve.search.archive import Archive, Program
from evolve.search.islands import Islands

Make = Callable[..., Program]


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def ring(axes, make: Make, count: int = 3) -> Archive:
    """One elite on each island in a column of its own, the best on island 0."""
    archive = Archive(axes, islands=count)
    for island in archive.islands:
        archive.add(make(island + 1, 1.0 - island / 10, island / 10 + 0.05, island=island))
    return archive


def ids(archive: Archive, island: int) -> list[int]:
    return [program.id for program in archive.elites(island)]


def test_copies_travel_one_island_each_interval(axes, make: Make) -> None:
    archive = ring(axes, make)
    islands = Islands(archive, interval=5)
    rounds = []
    for _ in range(10):
        islands.record(0, 0.0)
        rounds.append([(move.island, move.program.id) for move in islands.migrate(generator())])
    assert rounds[:4] == [[]] * 4
    assert rounds[4] == [(1, 1), (2, 2), (0, 3)]
    assert rounds[5:9] == [[]] * 4
    assert (2, 1) in rounds[9]


def test_copies_are_not_evaluations(axes, make: Make) -> None:
    archive = ring(axes, make)
    islands = Islands(archive, interval=1)
    islands.record(0, 0.0)
    assert len(islands.migrate(generator())) == 3
    assert islands.migrate(generator()) == []
    assert [program.island for program in archive.elites(1)] == [0, 1]


def test_the_best_always_travels_with_a_tenth_of_the_others(axes, make: Make) -> None:
    archive = Archive(axes, islands=2)
    for number in range(21):
        archive.add(make(number + 1, number / 100, (number % 10) / 10 + 0.05, (number // 10) / 10 + 0.05))
    islands = Islands(archive, interval=1)
    islands.record(0, 0.0)
    moved = [move.program.id for move in islands.migrate(generator())]
    assert moved[0] == 21
    assert len(moved) == 1 + 2


def test_a_single_island_stays_alone(archive: Archive, axes, make: Make) -> None:
    alone = ring(axes, make, count=1)
    islands = Islands(alone, interval=1, stagnation=1)
    for _ in range(5):
        islands.record(0, 0.0)
        assert (islands.migrate(generator()), islands.reseed(generator())) == ([], {})
    switched_off = Islands(archive, interval=0)
    switched_off.record(0, 0.0)
    assert switched_off.migrate(generator()) == []


def test_a_stagnant_island_starts_again_from_all_elites(axes, make: Make) -> None:
    archive = ring(axes, make, count=3)
    islands = Islands(archive, interval=0, stagnation=4)
    for step in range(4):
        assert islands.reseed(generator()) == {}
        islands.record(2, 0.1 * step)
    renewed = islands.reseed(generator())
    assert list(renewed) == [2]
    assert [move.program.id for move in renewed[2]] == ids(archive, 2)
    assert len(ids(archive, 2)) == 1
    assert {program.id for program in archive.elites()} == {1, 2, 3}
    assert islands.reseed(generator()) == {}


def test_progress_and_the_birthplace_of_the_best_prevent_a_new_start(axes, make: Make) -> None:
    archive = ring(axes, make, count=2)
    islands = Islands(archive, interval=0, stagnation=3)
    for step in range(6):
        islands.record(0, 0.0)
        islands.record(1, 0.9 + 0.01 * (step + 1))
    assert islands.reseed(generator()) == {}


def test_an_arriving_better_program_counts_as_progress(axes, make: Make) -> None:
    archive = ring(axes, make, count=2)
    islands = Islands(archive, interval=3, stagnation=4)
    for _ in range(3):
        islands.record(1, 0.0)
    assert islands.migrate(generator())
    islands.record(1, 0.0)
    assert islands.reseed(generator()) == {}


def test_a_resumed_run_keeps_its_rhythm(axes, make: Make) -> None:
    archive = ring(axes, make)
    islands = Islands(archive, interval=5, evaluations=13)
    islands.record(0, 0.0)
    assert islands.migrate(generator()) == []
    islands.record(0, 0.0)
    assert islands.migrate(generator()) != []


def test_a_resumed_run_goes_on_counting_towards_stagnation(axes, make: Make) -> None:
    archive = ring(axes, make, count=2)
    islands = Islands(archive, interval=0, stagnation=4, evaluations=9, fruitless={1: 3, 5: 2})
    assert islands.reseed(generator()) == {}
    islands.record(1, 0.0)
    assert list(islands.reseed(generator())) == [1]


def test_an_island_that_is_new_in_a_resumed_run_takes_part(axes, make: Make) -> None:
    archive = Archive(axes, islands=3)
    for island in (0, 1):
        archive.add(make(island + 1, 1.0 - island / 10, island / 10 + 0.05, island=island))
    islands = Islands(archive, interval=2, evaluations=4)
    rounds = []
    for step in range(4):
        islands.record(0, 0.0)
        rounds.append({(move.island, move.program.id) for move in islands.migrate(generator())})
        assert (step % 2 == 1) == bool(rounds[-1])
    assert rounds[1] == {(1, 1), (2, 2)}
    assert (0, 2) in rounds[3]


def test_islands_live_with_negative_and_equal_scores(axes, make: Make) -> None:
    archive = Archive(axes, islands=2)
    for number, island in enumerate((0, 0, 1, 1), start=1):
        archive.add(make(number, -5.0, number / 10, island=island))
    islands = Islands(archive, interval=1, stagnation=2)
    for _ in range(2):
        islands.record(1, -5.0)
    assert {move.program.id for move in islands.migrate(generator())} >= {1, 3}
    assert list(islands.reseed(generator())) == [1]
