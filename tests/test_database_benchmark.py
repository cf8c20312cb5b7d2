"""The parts of benchmarks/database.py at a size that takes a second, without peers."""

from __future__ import annotations

import functools
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.config import RunConfig
from evolve.loop.start import archive_of
from evolve.problem import load
from evolve.search.features import cell_key
from evolve.store import learning, queries, recall, standings
from evolve.store.connection import file_of
from evolve.store.database import Database

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL, LARGE = 200, 3000


@pytest.fixture(scope="module", autouse=True)
def path():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Made runs by their number of programs."""
    import database_fill

    folder = tmp_path_factory.mktemp("fill")
    for programs in (SMALL, LARGE):
        database_fill.fill(folder / f"fill-{programs}", programs)
    return {programs: folder / f"fill-{programs}" for programs in (SMALL, LARGE)}


def test_made_runs_are_whole(runs):
    for programs, run in runs.items():
        connection = sqlite3.connect(file_of(run))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("SELECT max(id), count(*) FROM proposals").fetchone() == (programs, programs)
        connection.close()
        with queries.reading(run) as reading:
            best = queries.best(reading)
            assert queries.outcomes(reading, best["id"]), "outcomes unpack"
            assert sum(queries.outcomes(reading, best["id"])) / 300 == pytest.approx(best["score"])
            assert {row["seed_name"] for row in queries.baselines(reading)} == set(load("skills").seeds)


def test_the_archive_of_a_made_run_is_what_its_cells_say(runs):
    config = RunConfig()
    with Database.open(runs[LARGE]) as database:
        archive = archive_of(
            load("skills", "tiny"), replace(config, search=replace(config.search, islands=4)), database
        )
        written = {(one.cell.island, one.cell.key): one.program.id for one in database.elites()}
        events = database.connection.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall()
    held = {
        (island, cell_key(cell)): program.id
        for island in archive.islands
        for cell, program in archive.occupancy(island).items()
    }
    assert held == written
    assert len(archive.elites()) >= max(len(archive.elites(island)) for island in archive.islands)
    assert {kind for kind, _ in events} == {"improvement", "migration", "reseed"}


def steps(connection, act) -> int:
    """How many times fifty steps SQLite's machine takes for ``act``, however long they take."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    connection.set_progress_handler(tick, 50)
    act()
    connection.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("merge", [False, True])
def test_a_program_takes_as_many_steps_in_a_large_database_as_in_a_small_one(runs, merge):
    from database_path import Way

    import database

    taken = {}
    for size, run in runs.items():
        way = Way(run)
        # Afterwards most elites are in memory: how many are read anew depends on the luck of the draw.
        database.timed(way.program, database.Source(size).take(60, merge=merge))
        connection, programs = way.database.connection, database.Source(size).take(41, merge=merge)
        taken[size] = sorted(steps(connection, functools.partial(way.program, one)) for one in programs)[20]
        way.close()
    assert 0 < taken[LARGE] <= 1.2 * taken[SMALL], taken


def questions(database):
    """What the loop asks of a run again and again, or reads the newest of."""
    connection = database.connection
    last, evaluations = connection.execute(
        "SELECT max(id), (SELECT max(id) FROM evaluations) FROM proposals"
    ).fetchone()
    since = connection.execute("SELECT finished_at FROM proposals WHERE id = ?", (last - 40,)).fetchone()[0]
    return {
        "edits": lambda: learning.edits(connection, since, 8, 6),
        "troubles": lambda: learning.troubles(connection, since, 5),
        "raced": lambda: list(standings.raced(connection, evaluations - 40)),
        "texts": lambda: recall.texts(connection, 50),
        "traced": lambda: list(recall.traced(connection, 50)),
        "ablations": lambda: recall.ablations(connection, 1),
        "last ablated": lambda: recall.last_ablated(connection),
        "unfinished": database.unfinished,
        "attempt": lambda: database.attempt(last),
    }


def test_what_is_asked_for_again_and_again_reads_no_history(runs):
    taken = {}
    for size, run in runs.items():
        with Database.open(run) as database:
            asked = questions(database)
            taken[size] = {name: steps(database.connection, question) for name, question in asked.items()}
    for name, few in taken[SMALL].items():
        assert taken[LARGE][name] <= 1.5 * few + 5, name


def test_the_benchmark_prints_a_line_for_each_database(tmp_path, capsys, monkeypatch):
    import database

    arguments = ["--sizes", "120", "--peers", "--programs", "10", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["database.py", *arguments])
    database.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 120 |")]
    names = [line.split(" | ")[1] for line in lines]
    assert names == [
        "evolve, program problem, cold page cache", "evolve, program problem", "evolve, merge problem",
        "plain sqlite3, rows of a program problem", "plain sqlite3, rows of a merge problem",
    ]  # fmt: skip
    assert all(float(cell) > 0 for line in lines for cell in line.split(" | ")[2:6])
    with queries.reading(tmp_path / "fill-120") as connection:
        rows = queries.programs(connection, limit=100)
    assert all(row["state"] == "scored" for row in rows if row["id"] > 120), "every measured program was kept"


def test_a_peer_that_takes_too_long_is_left_out():
    import database_peers

    class Slow:
        stdin = stdout = None

    peer = database_peers.Running("slow", Slow())
    assert peer.grow(0, 0.0)
    assert not peer.grow(10, 0.0)
    assert peer.size == 0
