"""What commands read stays the same work however long the run is, and is what the views say."""

from __future__ import annotations

import itertools

import pytest

from evolve.features import FeatureAxis
from evolve.store import gains, grid, queries, standings
from evolve.store.database import Database
from evolve.store.descent import descent
from evolve.store.records import FINISHED, UNFINISHED, RunRecord

SHORT, LONG = 300, 6000

# Scores with many equals, races lost, ablations, fresh items, and every state; a line of descent of thirty steps.
ROWS = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
    INSERT INTO proposals (id, state, reason, island, generation, parent_id, patch, proposer, source_digest,
                           archive_status, seed_name, proposed_at, evaluating_at, finished_at)
    SELECT i, iif(i % 7, 'scored', iif(i % 3, 'failed', 'queued')), iif(i % 7, NULL, 'r'), i % 3, 0,
           nullif((i * 7919 % 29) * (i > 30) + (i - 1) * (i <= 30), 0), iif(i % 11, 'diff', 'ablation'), 'o' || i % 4,
           printf('%064x', i * 2654435761 % 4294967296), 'new', iif(i < 3, 's' || i, NULL), '2026', '2026',
           iif(i % 7 OR i % 3, '2026', NULL)
    FROM n
"""
EVALUATIONS = """
    INSERT INTO evaluations (proposal_id, split, score, metrics, features, items, outcomes, feedback, seconds, phases,
                             created, stopped, items_total)
    SELECT id, :split, round((id * :spread % 65536) / 65536.0, 2), '{}', '{}', 1, x'6201', '', 1, '{}', '2026',
           iif(id % 5 OR :split <> 'search', NULL, 'raced'), 2
    FROM proposals WHERE state = 'scored' AND id % :every = 0
"""
CELLS = "INSERT INTO cells SELECT 0, id % 9, id, 0.5, '2026' FROM proposals WHERE id < 10"


def run(folder, count):
    database = Database.create(folder, RunRecord("r", "p", "tiny", {}, {}, 0, "0.1"))
    connection = database.connection
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(ROWS, {"count": count})
    connection.execute(EVALUATIONS, {"split": "search", "every": 1, "spread": 40503})
    connection.execute(EVALUATIONS, {"split": "fresh", "every": count // 25 + 1, "spread": 48271})
    connection.execute(CELLS)
    connection.commit()
    return database


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    made = [run(tmp_path_factory.mktemp("run") / str(count), count) for count in (SHORT, LONG)]
    yield [database.connection for database in made]
    for database in made:
        database.close()


def steps(connection, read):
    """Tens of instructions of SQLite's machine that a read takes."""
    count = itertools.count()
    connection.set_progress_handler(lambda: next(count) < 0, 10)
    try:
        read(connection)
    finally:
        connection.set_progress_handler(None, 0)
    return next(count)


READS = {
    "best": queries.best,
    "finalists": lambda connection: standings.best(connection, 8),
    "first page": lambda connection: queries.programs(connection, limit=20),
    "newest": lambda connection: queries.programs(connection, limit=20, order="newest"),
    "by number": lambda connection: queries.resolve(connection, 250),
    "by digest": lambda connection: queries.resolve(connection, f"{250 * 2654435761 % 4294967296:064x}"),
    "archive": lambda connection: grid.read(connection, [FeatureAxis("a", 0, 1, 9)]),
    "ancestors": lambda connection: descent(connection, 250, 5, 20),
    "baselines": queries.baselines,
}


@pytest.mark.parametrize("name", READS)
def test_the_work_of_a_read_does_not_grow_with_the_run(runs, name):
    short, long = (steps(connection, READS[name]) for connection in runs)
    assert long <= 2 * short + 40, (short, long)


def test_a_read_of_the_whole_run_would_be_noticed(runs):
    short, long = (
        steps(connection, lambda one: one.execute("SELECT * FROM standings").fetchall()) for connection in runs
    )
    assert long > 5 * short


ORDER = "score IS NULL, stopped IS NOT NULL, score DESC, id"


@pytest.mark.parametrize("limit", [0, 1, 20, 230, None])
@pytest.mark.parametrize("state", [None, *UNFINISHED, *FINISHED])
def test_pages_are_in_the_order_of_the_whole(runs, state, limit):
    for island in (None, 1):
        wanted = runs[0].execute(
            f"SELECT id FROM programs WHERE ifnull(state = ?, 1) AND ifnull(island = ?, 1) ORDER BY {ORDER} LIMIT ?",
            (state, island, -1 if limit is None else limit),
        )
        rows = queries.programs(runs[0], state=state, limit=limit, island=island)
        assert [row["id"] for row in rows] == [row[0] for row in wanted]


@pytest.mark.parametrize(("order", "direction"), [("newest", "DESC"), ("oldest", "ASC")])
def test_pages_by_age(runs, order, direction):
    wanted = runs[0].execute(f"SELECT id FROM proposals WHERE state = 'failed' ORDER BY id {direction} LIMIT 9")
    rows = queries.programs(runs[0], state="failed", limit=9, order=order)
    assert [row["id"] for row in rows] == [row[0] for row in wanted]


@pytest.mark.parametrize("limit", [1, 8, 1000])
def test_the_best_are_those_of_the_view(runs, limit):
    for connection in runs:
        wanted = connection.execute(
            "SELECT proposal_id FROM standings ORDER BY standing DESC, proposal_id LIMIT ?", (limit,)
        )
        assert standings.best(connection, limit) == [row[0] for row in wanted]
        moved = "SELECT count(*) FROM standings s JOIN evaluations e USING (proposal_id) WHERE split = 'search'"
        assert connection.execute(f"{moved} AND standing <> score").fetchone()[0] > 5


def test_the_sides_improvements_are_those_of_the_view(runs):
    for connection in runs:
        wanted = connection.execute(
            "SELECT count(*), total(gain) FROM improvements i JOIN proposals p ON p.id = i.proposal_id "
            "WHERE p.seed_name IS NULL"
        ).fetchone()
        [row] = gains.sides(connection, gains.tallies(connection))
        assert (row["improvements"], pytest.approx(row["raised_best"])) == wanted
