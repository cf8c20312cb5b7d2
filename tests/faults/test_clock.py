"""A wall clock that jumps a day ahead and an hour back while a run is at work."""

from __future__ import annotations

import datetime
import os
import sqlite3
from pathlib import Path

import pytest

from evolve.store import clock, database
from evolve.store.records import ProposalRequest, RunRecord

CLOCK = Path(__file__).parent / "clock"


@pytest.fixture
def jumping(terminal):
    """A terminal whose processes have such a clock."""
    terminal.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CLOCK), os.environ.get("PYTHONPATH")]))
    return terminal


def column(terminal, query):
    connection = sqlite3.connect(terminal.runs / "p" / "evolve.db")
    try:
        return [row[0] for row in connection.execute(query)]
    finally:
        connection.close()


def test_a_clock_that_jumps_changes_no_duration_no_budget_and_no_result(jumping, slowed):
    slowed(0.06)
    told = ("run", "program", "--workers", 1, "--seed", 4, "--time", "2h", "--name")
    jumping.run(*told, "p", "--evaluations", 10)
    times = column(jumping, "SELECT finished_at FROM proposals ORDER BY id")
    # against the clock of this process: ends never go back, so that all of them may lie a day ahead
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=12)
    assert max(times) > ahead.isoformat(), "the clock did jump"
    assert column(jumping, "SELECT state FROM run") == ["finished"]
    assert column(jumping, "SELECT count(*) FROM evaluations WHERE split = 'search'") == [10], "two hours did not pass"
    seconds = column(jumping, "SELECT seconds FROM evaluations")
    assert 0 < min(seconds) <= max(seconds) < 60
    del jumping.environment["PYTHONPATH"]
    jumping.run(*told, "q", "--evaluations", 10)
    assert jumping.programs("p") == jumping.programs("q")
    jumping.environment["PYTHONPATH"] = str(CLOCK)
    jumping.run("resume", "p", "--evaluations", 12)
    assert column(jumping, "SELECT count(*) FROM evaluations WHERE split = 'search'") == [12]


def test_ends_are_told_again_in_their_order(tmp_path, monkeypatch):
    """With a clock that stands 1 s earlier at each look, also after the run was opened again."""
    moments = (f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000Z" for second in range(3599, 0, -1))
    monkeypatch.setattr(clock, "now", lambda: next(moments))
    request = ProposalRequest(0, 0, "full", "writer")

    def end(made, numbers):
        for number in numbers:
            made.set_state(number, "failed", reason="error")

    with database.Database.create(tmp_path / "r", RunRecord("r", "p", "tiny", {}, {}, 0, "0.1")) as made:
        numbers = [made.begin_proposal(request) for _ in range(8)]
        end(made, [numbers[place] for place in (3, 0, 4)])
    with database.Database.open(tmp_path / "r") as made:
        end(made, [numbers[place] for place in (7, 5, 6)])
        assert [attempt.id for attempt in made.attempts()] == [numbers[place] for place in (3, 0, 4, 7, 5, 6)]


def test_ends_of_one_millisecond_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: "2026-01-01T00:00:00.999Z")
    found = clock.Clock()
    assert [found.now(), found.next(), found.now(), found.next()] == [
        "2026-01-01T00:00:00.999Z", "2026-01-01T00:00:01.000Z", "2026-01-01T00:00:01.000Z", "2026-01-01T00:00:01.001Z"
    ]  # fmt: skip
