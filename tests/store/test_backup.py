"""Copies of databases that somebody writes, and the copy that an upgrade makes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import pytest

from evolve.errors import RunError
from evolve.store import backup, migrations, queries
from evolve.store.connection import FILE_NAME
from evolve.store.database import Database
from evolve.store.records import ProposalRequest

WRITER = """
    import sys
    from pathlib import Path
    from evolve.store.database import Database
    from evolve.store.records import ProposalRequest

    with Database.open(Path(sys.argv[1])) as database:
        while True:
            number = database.begin_proposal(ProposalRequest(0, 0, "diff", "offline"))
            database.set_source(number, f"x = {number}" + 2000 * "#", f"digest {number}")
            print(number, flush=True)
"""


COPIER = """
    import itertools, sys
    from pathlib import Path
    from evolve.store.backup import back_up

    for number in itertools.count():
        print(number, flush=True)
        back_up(Path(sys.argv[1]), Path(sys.argv[2]) / f"copy{number}.db")
"""


def numbers(path):
    with closing(sqlite3.connect(path)) as copy:
        return copy.execute(
            "SELECT count(*), max(id), sum(text_digest IS NULL), (SELECT count(*) FROM sources) FROM proposals"
        ).fetchone()


def test_a_copy_made_while_a_process_writes_is_one_moment_of_the_run(folder, database, tmp_path):
    database.close()
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            before = [int(next(writer.stdout)) for _ in range(200)][-1]
            targets = [tmp_path / f"copy{index}.db" for index in range(3)]
            for target in targets:
                backup.back_up(folder / FILE_NAME, target)
            after = int(next(writer.stdout))
            assert writer.poll() is None, "the writer must not be disturbed"
        finally:
            writer.kill()
    known = before
    for target in targets:
        count, last, without_text, sources = numbers(target)
        assert known <= count == last
        # At most the newest proposal is between its first and its second transaction.
        assert without_text in (0, 1)
        assert sources == count - without_text
        known = count
    assert after > 200
    assert not list(tmp_path.glob(".copy*"))


@pytest.mark.parametrize("pause_s", [0.0, 0.004, 0.011])
def test_a_killed_copy_leaves_whole_copies_only(filled, folder, tmp_path, pause_s):
    for number in range(400):
        filled.set_source(filled.begin_proposal(ProposalRequest(0, 0, "diff", "o")), 3000 * "x", f"d{number}")
    wanted = numbers(folder / FILE_NAME)
    command = [sys.executable, "-c", textwrap.dedent(COPIER), str(folder / FILE_NAME), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as copier:
        for _ in range(3):
            next(copier.stdout)
        time.sleep(pause_s)
        copier.kill()
    copies = list(tmp_path.glob("copy*.db"))
    assert len(copies) >= 2
    for copy in copies:
        assert numbers(copy) == wanted


def test_a_copy_is_a_run_that_opens(filled, folder, tmp_path):
    target = tmp_path / "again"
    target.mkdir()
    backup.back_up(folder / FILE_NAME, target / FILE_NAME)
    filled.begin_proposal(ProposalRequest(0, 0, "diff", "later"))
    assert {path.name for path in target.iterdir()} == {FILE_NAME}, "one file, no neighbours"
    with Database.open(target) as copy:
        assert copy.counts().proposals == 8
        assert copy.begin_proposal(ProposalRequest(0, 0, "diff", "offline")) == 9


def test_nothing_is_overwritten(filled, folder, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(RunError, match="exists already; name a new file"):
        backup.back_up(folder / FILE_NAME, target)
    assert target.read_text() == "precious"
    with pytest.raises(RunError, match="no run at"):
        backup.back_up(tmp_path / "none" / FILE_NAME, tmp_path / "new.db")
    with pytest.raises(RunError, match="cannot be written"):
        backup.back_up(folder / FILE_NAME, tmp_path / "none" / "new.db")


def test_a_copy_of_a_damaged_file_does_not_appear(filled, folder, tmp_path):
    for number in range(60):
        filled.set_source(
            filled.begin_proposal(ProposalRequest(0, 0, "diff", "o")), f"x = {number}" + 500 * "#", f"d{number}"
        )
    filled.close()
    path = folder / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'proposals_by_source'").fetchone()[0]
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 + 100 : page * 4096] = bytes(4096 - 100)
    path.write_bytes(data)
    with pytest.raises(RunError, match="damaged"):
        backup.back_up(path, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]


@pytest.fixture
def older(folder, run_record):
    """A run as the first version of the schema has it, with one proposal."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        migrations.migrate(connection, migrations.shipped()[:1])
        values = ("r1", "p", "tiny", "maximize", "{}", "{}", 7, "0.0.1", "2026", "stopped")
        connection.execute(
            "INSERT INTO run (id, problem, profile, direction, digests, config, seed, version, created, state) "
            f"VALUES ({', '.join('?' * len(values))})", values,
        )  # fmt: skip
        connection.execute(
            "INSERT INTO proposals (island, generation, patch, proposer, proposed_at) "
            "VALUES (0, 0, 'seed', 'p', '2026')"
        )
        connection.commit()
    return folder


def test_an_older_schema_is_copied_before_it_is_brought_up_to_date(older):
    with pytest.raises(RunError, match="has schema version 1, this evolve reads"), queries.reading(older):
        pass
    with Database.open(older) as database:
        assert migrations.version_of(database.connection) == len(migrations.shipped())
        assert database.counts().proposals == 1
        database.begin_proposal(ProposalRequest(0, 0, "diff", "offline"))
    copy = older / f"{FILE_NAME}.v1.backup"
    with closing(sqlite3.connect(copy)) as connection:
        assert migrations.version_of(connection) == 1
        assert connection.execute("SELECT count(*) FROM proposals").fetchone() == (1,)
    made = copy.stat().st_mtime_ns
    Database.open(older).close()
    assert copy.stat().st_mtime_ns == made, "only an upgrade makes a copy"
    assert {path.name for path in older.glob("*backup*")} == {copy.name}


def test_an_upgrade_that_fails_leaves_both_as_they_were(older, monkeypatch):
    broken = migrations.Migration(2, "0002_broken", "CREATE TABLE more (x); INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr(
        migrations, "shipped", lambda: (migrations.load(migrations.resources.folder("database"))[0], broken)
    )
    with pytest.raises(RunError, match="nowhere"):
        Database.open(older)
    for path in (older / FILE_NAME, older / f"{FILE_NAME}.v1.backup"):
        with closing(sqlite3.connect(path)) as connection:
            assert migrations.version_of(connection) == 1


def test_a_newer_schema_is_refused_and_not_copied(filled, folder):
    filled.close()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(RunError, match="has schema version 999, this evolve knows up to"):
        Database.open(folder)
    assert not list(folder.glob("*backup*"))
