"""What the commands read, from a run that is being written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evolve.errors import RunError, UsageError
from evolve.store import queries
from evolve.store.connection import FILE_NAME
from evolve.store.database import Database

NOBODY = 65534


@pytest.fixture
def connection(filled: Database, folder: Path) -> Iterator[object]:
    with queries.reading(folder) as opened:
        yield opened


def test_a_reader_sees_what_the_writer_has_just_written(
    filled: Database, folder: Path, score: Callable[..., None]
) -> None:
    with queries.reading(folder) as connection:
        assert len(queries.progress(connection)) == 4
        score(filled, 8, 0.95)
        assert [row["best"] for row in queries.progress(connection)] == [0.1, 0.2, 0.9, 0.9, 0.95]


def test_a_reader_cannot_write(connection) -> None:
    with pytest.raises(Exception, match="readonly"):
        connection.execute("DELETE FROM events")


def test_the_summary(connection, folder: Path) -> None:
    summary = queries.summary(connection, folder)
    assert (summary["id"], summary["problem"], summary["config"]) == ("r1", "jp_math", {"search": {"islands": 2}})
    assert summary["process"] == os.getpid()
    assert summary["states"] == {"scored": 4, "duplicate": 1, "failed": 1, "rejected": 1, "queued": 1}
    assert (summary["proposals"], summary["evaluations"]) == (8, 4)
    assert (summary["cost_usd"], summary["unknown_costs"]) == (0.25, 2)
    assert (summary["best"]["id"], summary["best"]["score"]) == (3, 0.9)
    assert summary["baseline"] == {"id": 2, "seed_name": "ties", "score": 0.2}
    assert summary["cells"] == 3


def test_the_summary_of_a_run_without_programs(database: Database, folder: Path) -> None:
    summary = queries.summary(database.connection, folder)
    assert (summary["best"], summary["baseline"], summary["evaluations"], summary["last_activity"]) == (
        None,
        None,
        0,
        None,
    )


def test_the_list_of_runs_survives_broken_ones(filled: Database, folder: Path) -> None:
    for name, content in (("broken", b"not a database at all" * 50), ("empty", b"")):
        (folder.parent / name).mkdir()
        (folder.parent / name / FILE_NAME).write_bytes(content)
    (folder.parent / "notes.txt").write_text("no run")
    (folder.parent / "no_database").mkdir()
    broken, empty, good = queries.list_runs(folder.parent)
    assert good["best"]["score"] == 0.9
    assert (broken["id"], "is not a database" in broken["error"]) == ("broken", True)
    assert (empty["id"], "of another program" in empty["error"]) == ("empty", True)
    assert queries.list_runs(folder / "nowhere") == []


def test_programs_are_filtered_and_sorted(connection) -> None:
    assert [row["id"] for row in queries.programs(connection)] == [3, 7, 2, 1, 4, 5, 6, 8]
    assert [row["id"] for row in queries.programs(connection, state="scored", limit=2)] == [3, 7]
    assert [row["id"] for row in queries.programs(connection, island=1)] == [7]
    assert [row["id"] for row in queries.programs(connection, order="newest", limit=3)] == [8, 7, 6]
    assert queries.programs(connection, limit=1)[0]["metrics"] == {"accuracy": 0.9}
    with pytest.raises(UsageError, match="unknown order 'beauty'; use one of score, newest, oldest"):
        queries.programs(connection, order="beauty")


@pytest.mark.parametrize(
    ("reference", "number"),
    [(3, 3), ("7", 7), ("best", 3), ("aaaa3", 3), ("bbbb2", 2), ("aaaa8", 8)],
)
def test_programs_are_named_by_number_word_or_digest(connection, reference: int | str, number: int) -> None:
    assert queries.resolve(connection, reference) == number


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("aaaa", "fits the programs 1, 2, 3"),
        ("ffff", "no program 'ffff'"),
        ("99", "no program '99'"),
        ("aaa", "no program 'aaa'"),
        ("winner", "has not chosen a winner"),
        ("%'; --", "no program"),
        ("9" * 30, "no program"),
    ],
)
def test_names_that_fit_none_or_several_are_refused(connection, reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        queries.resolve(connection, reference)


def test_the_winner_and_the_best_of_an_empty_run(
    database: Database, ask: Callable[..., int], score: Callable[..., None]
) -> None:
    with pytest.raises(UsageError, match="no scored program yet"):
        queries.resolve(database.connection, "best")
    ask(database)
    score(database, 1, -5.0)
    database.set_winner(1)
    assert queries.resolve(database.connection, "winner") == 1


def test_equal_scores_prefer_the_older_program(
    database: Database, ask: Callable[..., int], score: Callable[..., None]
) -> None:
    for _ in range(3):
        ask(database)
    for number in (3, 2, 1):
        score(database, number, 0.5)
    assert queries.resolve(database.connection, "best") == 1


def test_everything_about_one_program(connection) -> None:
    row = queries.program(connection, "best")
    assert (row["source"], row["plan"], row["parent"]["id"], row["mate"]["id"]) == ("x = 3", None, 1, 2)
    assert [item["id"] for item in row["inspirations"]] == [2, 1]
    assert row["evaluations"][0]["outcomes"] == [1.0, 1.0, 0.0]
    assert [child["id"] for child in row["children"]] == [5, 6, 7, 8]
    assert row["children"][2]["gain"] == pytest.approx(-0.4)
    assert row["cells"] == [{"island": 0, "cell": "2"}]
    assert [(call["prompt"], call["reply"]) for call in row["calls"]] == [("a prompt", "a reply")]
    assert queries.program(connection, 1)["plan"] == {"plan": 1}
    assert queries.program(connection, 4)["evaluations"][0]["proposal_id"] == 3
    assert queries.outcomes(connection, 4) == [1.0, 1.0, 0.0]
    assert queries.outcomes(connection, 4, "test") == []


def test_ancestors_run_from_the_oldest(connection) -> None:
    assert [row["id"] for row in queries.ancestors(connection, 7)] == [1, 3]
    assert queries.ancestors(connection, 1) == []
    assert len(queries.lineage(connection)) == 8


def test_the_run_as_a_whole(connection) -> None:
    assert [(row["evaluation"], row["proposal_id"], row["gain"]) for row in queries.improvements(connection)] == [
        (1, 1, None), (2, 2, pytest.approx(0.1)), (3, 3, pytest.approx(0.7)),
    ]  # fmt: skip
    failures = {row["state"]: row for row in queries.failures(connection)}
    assert failures["failed"]["last_message"] == "(2, 3) is not (3, 2)"
    assert (failures["duplicate"]["reason"], failures["rejected"]["proposals"]) == ("duplicate_source", 1)
    assert [(row["seed_name"], row["score"]) for row in queries.baselines(connection)] == [
        ("ties", 0.2),
        ("linear", 0.1),
    ]
    assert [(row["program_id"], row["cell"]) for row in queries.cells(connection, 0)] == [(3, "2"), (7, "0"), (1, "1")]
    assert queries.cells(connection, 5) == []
    big, offline = queries.proposers(connection)
    assert (big["proposer"], big["scored"], big["beat_parent"], big["cost_usd"], big["unknown_costs"]) == (
        "big",
        1,
        1,
        0.25,
        1,
    )
    assert (offline["rejected"], offline["failed"], offline["beat_parent"]) == (1, 1, 0)
    assert [(row["model"], row["calls"], row["errors"]) for row in queries.models(connection)] == [
        ("big", 2, 1),
        ("m", 1, 0),
    ]
    assert [row["kind"] for row in queries.events(connection)] == ["improvement", "resume"]
    assert queries.events(connection, "improvement")[0]["data"] == {"score": 0.9}
    assert [row["kind"] for row in queries.events(connection, limit=1)] == ["resume"]
    assert [row["id"] for row in queries.calls(connection, limit=2)] == [2, 3]


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"no run at .*nowhere: evolve.db is missing"),
        queries.reading(tmp_path / "nowhere"),
    ):
        pass
    (tmp_path / FILE_NAME).write_bytes(b"x" * 5000)
    with pytest.raises(RunError, match="is not a database"), queries.reading(tmp_path):
        pass


@pytest.fixture
def unwritable(filled: Database, folder: Path) -> Iterator[Path]:
    # Outside tmp_path, whose parents only their owner may enter.
    place = Path(tempfile.mkdtemp())
    yield place / "r1"
    for path in (place, place / "r1"):
        path.chmod(0o755)
    shutil.rmtree(place)


DROP_RIGHTS = f"""
import os, sys
from pathlib import Path
from evolve.store import queries
from evolve.store.database import Database
if os.getuid() == 0:  # whoever runs the tests: root may write anywhere
    os.setgid({NOBODY})
    os.setuid({NOBODY})
folder = Path(sys.argv[1])
"""


def run_on_read_only_folder(folder: Path, command: str) -> str:
    """The last line printed by a process that may not write the folder."""
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    folder.parent.chmod(0o555)
    arguments = [sys.executable, "-c", DROP_RIGHTS + command, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[-1]


READ = """
with queries.reading(folder) as connection:
    print(len(queries.progress(connection)))
"""


def test_a_finished_run_reads_from_a_read_only_disk(filled: Database, folder: Path, unwritable: Path) -> None:
    filled.close()
    shutil.copytree(folder, unwritable)
    assert run_on_read_only_folder(unwritable, READ) == "4"


def test_a_killed_run_reads_whole_from_a_read_only_disk(filled: Database, folder: Path, unwritable: Path) -> None:
    shutil.copytree(folder, unwritable)
    assert (unwritable / f"{FILE_NAME}-wal").stat().st_size > 0
    assert run_on_read_only_folder(unwritable, READ) == "4"


def test_writing_on_a_read_only_disk_is_one_line(filled: Database, folder: Path, unwritable: Path) -> None:
    filled.close()
    shutil.copytree(folder, unwritable)
    line = run_on_read_only_folder(unwritable, "Database.open(folder)")
    assert line.startswith("evolve.errors.RunError: ")
    assert line.endswith("check the disk and the folder's permissions")


def test_read_commands_load_nothing_heavy() -> None:
    command = (
        "import sys, evolve.store.queries; print([m for m in ('numpy', 'sqlite_utils', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
