from __future__ import annotations

import random
import signal
import time

import pytest

from evolve.store import queries

EVALUATIONS = 24
KILLS = 10


def slow(terminal, seconds):
    """Makes each evaluation of the program example take a while."""
    path = terminal.folder / "program" / "evaluate.py"
    text = path.read_text()
    path.write_text(
        text.replace("    x = np.linspace", f"    __import__('time').sleep({seconds})\n    x = np.linspace")
    )


def wait_for_evaluations(terminal, name, count, process):
    """Returns when the run has ``count`` evaluations."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        if (terminal.runs / name / "evolve.db").exists() and terminal.summary(name)["evaluations"] >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} evaluations: {process.communicate()}")


def test_kill_at_random_moments_loses_nothing(terminal):
    slow(terminal, 0.15)
    rng = random.Random(7)
    known = {}
    arguments = ["run", "program", "--evaluations", EVALUATIONS, "--name", "p"]
    for _ in range(KILLS):
        process = terminal.start(*arguments)
        time.sleep(rng.uniform(0.3, 2.5))
        process.kill()
        process.communicate()
        if (terminal.runs / "p" / "evolve.db").exists():
            arguments = ["resume", "p"]
            with terminal.reading("p") as connection:
                scored = {row["id"]: row["score"] for row in queries.programs(connection, state="scored")}
            assert known.items() <= scored.items()
            known = scored
    terminal.run(*arguments)
    summary = terminal.summary("p")
    assert (summary["state"], summary["evaluations"]) == ("finished", EVALUATIONS)
    assert set(summary["states"]) <= {"scored", "failed", "duplicate", "rejected", "abandoned"}
    with terminal.reading("p") as connection:
        final = {row["id"]: row["score"] for row in queries.programs(connection, state="scored")}
        texts = [row["source_digest"] for row in queries.programs(connection, state="scored")]
    assert known.items() <= final.items()
    assert len(texts) == len(set(texts))


def test_first_interrupt_drains_and_names_the_resume_command(terminal):
    slow(terminal, 0.3)
    process = terminal.start("run", "program", "--evaluations", 200, "--name", "p")
    wait_for_evaluations(terminal, "p", 3, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "finishing" in out
    assert "evolve resume p" in out
    assert "Traceback" not in err
    summary = terminal.summary("p")
    assert summary["state"] == "stopped"
    assert set(summary["states"]) <= {"scored", "failed", "duplicate", "rejected"}
    terminal.run("resume", "p", "--evaluations", summary["evaluations"] + 2)
    assert terminal.summary("p")["evaluations"] == summary["evaluations"] + 2


def test_second_interrupt_aborts_at_once_and_resume_takes_up_what_was_in_flight(terminal):
    slow(terminal, 200)
    process = terminal.start("run", "program", "--evaluations", 3, "--name", "p")
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and not (
        (terminal.runs / "p" / "evolve.db").exists() and terminal.summary("p")["states"].get("evaluating")
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert time.monotonic() - began < 60
    assert process.returncode == 130
    assert "evolve resume p" in out + err
    assert "Traceback" not in err
    assert terminal.summary("p")["states"] == {"evaluating": 1}


def test_two_processes_cannot_write_one_run(terminal):
    slow(terminal, 0.3)
    process = terminal.start("run", "program", "--evaluations", 200, "--name", "p")
    wait_for_evaluations(terminal, "p", 1, process)
    refused = terminal.run("resume", "p", status=1)
    assert f"in use by process {process.pid}" in refused.stderr
    process.kill()
    process.communicate()


@pytest.mark.parametrize("extra", [["--time", "3s"]])
def test_a_time_budget_ends_the_run(terminal, extra):
    slow(terminal, 0.3)
    terminal.run("run", "program", "--evaluations", 0, "--name", "p", *extra)
    assert terminal.summary("p")["state"] == "finished"
