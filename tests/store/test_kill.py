"""A writer that is killed at any moment loses nothing that it was told is written."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from evolve.errors import DatabaseBusy
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import RunRecord

KILLS = 10

WRITER = """
import sys
from pathlib import Path
from evolve.evaluation import Evaluation
from evolve.store.database import Database
from evolve.store.records import Cell, LlmCall, ProposalRequest

def tell(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

database = Database.open(Path(sys.argv[1]))
for left in database.unfinished():
    database.set_state(left.id, "abandoned", reason="interrupted")
    tell("abandoned", left.id)
while True:
    number = database.begin_proposal(ProposalRequest(0, 1, "diff", "offline", inspirations=()))
    tell("proposed", number)
    database.add_llm_calls(number, [LlmCall("p", "m", "prompt " * 200, "reply", 0.1, cost_usd=0.001)])
    tell("called", number)
    database.set_source(number, f"x = {number}\\n" * 200, f"{number:064x}")
    tell("sourced", number)
    database.set_traced(number, '{"plan": %d}' % number, f"p{number}")
    tell("traced", number)
    database.set_state(number, "evaluating")
    tell("evaluating", number)
    evaluation = Evaluation(number / 1000, {}, {}, [number % 2] * 300)
    database.add_evaluation(number, evaluation, cells=[Cell(0, str(number % 7), number, number / 1000)])
    tell("scored", number)
"""


def write_until_killed(folder: Path, acknowledgements: int) -> list[tuple[str, int]]:
    """What the writer was told is written before it was killed, at an instant after so many acknowledgements."""
    arguments = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
        process.kill()
        lines += process.stdout.readlines()
    told = [line.split() for line in lines if line.endswith("\n")]
    return [(word, int(number)) for word, number in told]


def check(database: Database, word: str, number: int) -> None:
    program = database.program(number)
    if word == "called":
        assert len(queries.calls(database.connection, number)) == 1
    elif word == "sourced":
        assert program.source == f"x = {number}\n" * 200
    elif word == "traced":
        assert program.plan_digest == f"p{number}"
    elif word == "evaluating":
        assert program.state in ("evaluating", "scored", "abandoned")
    elif word == "scored":
        assert (program.state, program.score) == ("scored", number / 1000)
        assert program.outcomes == (float(number % 2),) * 300
    elif word == "abandoned":
        assert program.state == "abandoned"


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Database.create(folder, RunRecord("run", "p", "tiny", {}, {}, 0, "0")).close()
    rng = random.Random(20)
    told: list[tuple[str, int]] = []
    for _ in range(KILLS):
        told += write_until_killed(folder, rng.randrange(1, 120))
        with Database.open(folder) as database:
            connection = database.connection
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            for word, number in told:
                check(database, word, number)
            scored = {number for word, number in told if word == "scored"}
            assert scored <= {elite.program.id for elite in database.elites()} | {p.id for p in database.contenders()}
            assert len(database.unfinished()) <= 1
    assert len(told) > 10 * KILLS


def test_readers_work_beside_the_writer(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Database.create(folder, RunRecord("run", "p", "tiny", {}, {}, 0, "0")).close()
    arguments = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            if line.startswith("scored"):
                with queries.reading(folder) as connection:
                    summary = queries.summary(connection, folder)
                assert summary["process"] == process.pid
                assert summary["evaluations"] >= int(line.split()[1])
                seen.append(summary["evaluations"])
            if len(seen) == 20:
                break
        try:
            Database.open(folder).close()
        except DatabaseBusy as error:
            assert str(process.pid) in str(error)
        else:
            raise AssertionError("two writers at once")
        process.kill()
    assert seen == sorted(seen)
    assert queries.list_runs(tmp_path)[0]["process"] is None
