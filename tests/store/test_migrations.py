import sqlite3
from pathlib import Path

import pytest

from evolve.errors import RunError
from evolve.store import migrations
from evolve.store.migrations import Migration


@pytest.fixture
def connection(tmp_path: Path):
    opened = sqlite3.connect(tmp_path / "evolve.db")
    yield opened
    opened.close()


def test_the_shipped_migrations_make_strict_tables_and_working_views(connection: sqlite3.Connection) -> None:
    migrations.migrate(connection, migrations.shipped())
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
    assert all(strict for name, strict in tables if not name.startswith("sqlite_"))
    views = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]
    assert "leaderboard" in views
    for view in views:
        connection.execute(f"SELECT * FROM {view}").fetchall()
    assert migrations.version_of(connection) == len(migrations.shipped())


def test_the_readme_explains_every_table_and_view_and_its_queries_run(connection: sqlite3.Connection) -> None:
    from evolve import resources

    migrations.migrate(connection, migrations.shipped())
    text = (resources.folder("database") / "README.md").read_text(encoding="utf-8")
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall():
        assert f"`{name}`" in text
    blocks = [part.strip() for part in text.split("\n\n")]
    queries = [part for part in blocks if part.startswith(("SELECT", "WITH", "-- "))]
    cells = [line.split("`")[-2] for line in text.splitlines() if line.endswith("` |") and "SELECT" in line]
    assert len(queries) >= 9
    assert len(cells) == 13
    for query in queries + cells:
        connection.execute(query.rstrip(";")).fetchall()


def test_a_failing_migration_changes_nothing(connection: sqlite3.Connection) -> None:
    good = Migration(1, "0001_a", "CREATE TABLE a (x) ;")
    bad = Migration(2, "0002_b", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrations.migrate(connection, (good, bad))
    assert migrations.version_of(connection) == 1
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["a"]
    migrations.migrate(connection, (good, Migration(2, "0002_b", "CREATE TABLE b (x);")))
    assert migrations.version_of(connection) == 2


@pytest.mark.parametrize("names", [[], ["0002_a.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_b.sql"]])
def test_gaps_and_repeated_numbers_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(RunError, match="numbered"):
        migrations.load(tmp_path)
