"""Evaluations that take all memory, never end, or kill their worker: each has its reason, and the run goes on."""

from __future__ import annotations

import pytest

from evolve.store import queries

FAULTS = """
import os, resource, signal, time
from pathlib import Path

GIGABYTE = 2**30
resource.setrlimit(resource.RLIMIT_AS, (4 * GIGABYTE, resource.RLIM_INFINITY))
ONCE = Path({once!r})


def fault(source):
    if "hungry seed" in source:
        np.ones(GIGABYTE)
    if "sleepy seed" in source:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    if "deadly seed" in source:
        os.kill(os.getpid(), signal.SIGKILL)
    if "unlucky seed" in source and not ONCE.exists():
        ONCE.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def evaluate(candidate) -> Evaluation:
    fault(candidate.source)
"""


@pytest.fixture
def faulty(terminal):
    """The program example with seeds that do something to their worker; the folder where one leaves a mark."""
    path = terminal.folder / "program" / "evaluate.py"
    old = "def evaluate(candidate) -> Evaluation:  # type: ignore[no-untyped-def]\n"
    text = path.read_text()
    assert old in text
    once = terminal.folder / "once"
    path.write_text(text.replace(old, FAULTS.format(once=str(once))))
    seeds = terminal.folder / "program" / "seeds"
    plain = (seeds / "parabola.py").read_text()
    for number, name in enumerate(("hungry", "sleepy", "deadly", "unlucky"), start=1):
        (seeds / f"{name}.py").write_text(
            plain.replace("4 *", f"4.{number} *").replace('"""', f'"""A {name} seed. ', 1)
        )
    return once


def test_evaluations_that_hurt_their_worker_have_a_reason_and_the_run_goes_on(terminal, faulty, orphans):
    done = terminal.run(
        "run", "program", "--name", "p", "--evaluations", 10, "--workers", 2, "--set", "evaluation.timeout_s=4"
    )
    assert orphans() == {}, "a worker that hangs is gone"
    assert faulty.exists()
    with terminal.reading("p") as connection:
        rows = {row["seed_name"]: row for row in queries.programs(connection, order="oldest") if row["seed_name"]}
    ends = {name: (row["state"], row["reason"]) for name, row in rows.items()}
    assert ends == {
        "parabola": ("scored", None),
        "hungry": ("failed", "memory"),
        "sleepy": ("failed", "evaluation_timeout"),
        "deadly": ("failed", "worker_died"),
        "unlucky": ("scored", None),
    }
    assert "MemoryError" in rows["hungry"]["message"]
    assert "the program needs more memory than the worker has" in rows["hungry"]["message"]
    assert rows["sleepy"]["message"].startswith("no answer within 4 s; raise evaluation.timeout_s")
    assert rows["deadly"]["message"].startswith("two workers died of it: a worker ended (SIGKILL)")
    assert not any("\n" in row["message"] for row in rows.values() if row["message"])
    assert "seed hungry failed: evaluate.py, line " in done.stdout
    summary = terminal.summary("p")
    assert (summary["state"], summary["evaluations"]) == ("finished", 10)
    assert summary["states"]["scored"] == 7, "a failed evaluation is one of the budget, and no more than one"
