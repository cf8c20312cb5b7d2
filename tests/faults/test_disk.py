"""Disks that are full or read-only: one line, nothing half-written, and a resume goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3

import pytest

from evolve.evaluate.pool import WorkerPool

PLENTY = 20_000
"""Kilobytes."""


def one_line(done):
    """The error of a command, which is one line without a traceback."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def whole(folder):
    """Whether the database of a run is consistent."""
    connection = sqlite3.connect(f"file:{folder / 'evolve.db'}?mode=ro", uri=True)
    try:
        return [connection.execute(f"PRAGMA {check}").fetchall() for check in ("integrity_check", "foreign_key_check")]
    finally:
        connection.close()


def fill(terminal, disk, *more):
    return terminal.run(
        "run", "program", "--name", "p", "--runs", disk, "--workers", 1, "--evaluations", 60, *more, status=1
    )


@pytest.mark.parametrize(
    "kilobytes", [8, 60, *(pytest.param(size, marks=pytest.mark.slow) for size in (4, 12, 20, 28, 40, 90, 130))]
)
def test_a_disk_too_small_for_a_run_keeps_nothing_of_it(terminal, small_disk, kilobytes):
    """The copy of the problem does not fit, or the new database."""
    disk = small_disk(kilobytes)
    error = one_line(fill(terminal, disk))
    assert "o space left on" in error
    assert str(disk / "p") in error
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize(
    "kilobytes", [300, *(pytest.param(size, marks=pytest.mark.slow) for size in range(200, 1200, 90))]
)
def test_a_disk_that_fills_up_stops_the_run_and_a_resume_goes_on(terminal, small_disk, remounted, kilobytes):
    disk = small_disk(kilobytes)
    error = one_line(fill(terminal, disk))
    assert "no space left on the disk of" in error
    assert "evolve resume p" in error
    assert whole(disk / "p") == [[("ok",)], []]
    remounted(disk, f"size={PLENTY}k")
    rows = json.loads(terminal.run("ls", "p", "--runs", disk, "-f", "json", "-n", 0).stdout)
    scored = {row["id"]: row["score"] for row in rows if row["state"] == "scored"}
    terminal.run("resume", "p", "--runs", disk, "--evaluations", len(scored) + 4)
    rows = json.loads(terminal.run("ls", "p", "--runs", disk, "-f", "json", "-n", 0).stdout)
    after = {row["id"]: row["score"] for row in rows if row["state"] == "scored"}
    assert scored.items() <= after.items()
    assert len(after) + sum(row["state"] == "failed" for row in rows) >= len(scored) + 4
    assert sorted(row["id"] for row in rows) == list(range(1, len(rows) + 1))


def test_a_run_that_may_not_be_written_can_be_read(terminal, small_disk, remounted):
    disk = small_disk(PLENTY)
    terminal.run("run", "program", "--name", "p", "--runs", disk, "--workers", 1, "--evaluations", 2)
    before = (disk / "p" / "evolve.db").read_bytes()
    remounted(disk, "ro")
    error = one_line(terminal.run("resume", "p", "--runs", disk, "--evaluations", 4, status=1))
    assert "Read-only file system" in error
    assert json.loads(terminal.run("ls", "--runs", disk, "-f", "json").stdout)[0]["state"] == "finished"
    assert "def approximate(x):" in terminal.run("show", "best", "p", "--runs", disk).stdout
    assert "Read-only file system" in one_line(terminal.run("run", "program", "--runs", disk, status=1))
    assert (disk / "p" / "evolve.db").read_bytes() == before


EVALUATE = """
import os, sys, traceback
from evolve.evaluation import Evaluation


def evaluate(candidate):
    print("x" * 100_000)
    print("y" * 100_000, file=sys.stderr, flush=True)
    traceback.print_stack()
    return Evaluation(float(candidate.source.strip("# ")))
"""


def test_a_log_that_cannot_be_written_ends_no_evaluation(tmp_path):
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "0.log").symlink_to("/dev/full")
    setup = {"kind": "program", "evaluator": str(tmp_path / "evaluate.py"), "splits": {}, "settings": {}}

    async def body():
        pool = WorkerPool(setup, 1, tmp_path / "workers")
        try:
            await pool.start()
            (tmp_path / "workers" / "0.log").unlink()
            (tmp_path / "workers" / "0.log").mkdir()  # from now on it cannot even be opened
            scores = [(await pool.evaluate({"source": "# 1"}, "search")).evaluation.score]
            os.kill(pool._workers[0]._process.pid, signal.SIGKILL)
            await pool._workers[0]._process.wait()
            scores.append((await pool.evaluate({"source": "# 2"}, "search")).evaluation.score)
            return scores
        finally:
            await pool.close()

    assert asyncio.run(body()) == [1.0, 2.0]
