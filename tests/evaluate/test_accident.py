"""The sandbox's processes are killed in the middle of an evaluation."""

from __future__ import annotations

import asyncio

import pytest

from evolve.errors import CandidateError, RunError, SandboxCrash, SandboxError, SandboxMemory, SandboxTimeout
from evolve.evaluate.accident import is_accident
from evolve.evaluate.pool import WorkerPool
from evolve.sandbox.launcher import ServerGone

EVALUATE = """
import os, signal, time
from pathlib import Path
from evolve.evaluation import Evaluation


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def evaluate(candidate):
    first = candidate.call("process")
    times = int(candidate.call("times"))
    marks = Path(candidate.settings["marks"])
    if len(list(marks.iterdir())) < times:
        (marks / str(first)).touch()
        deadline = time.monotonic() + 60
        os.kill(first if candidate.call("target") == "program" else candidate.sandbox._server.pid, signal.SIGKILL)
        while lives(first) and time.monotonic() < deadline:
            time.sleep(0.005)
    return Evaluation(candidate.call("score"))
"""
PROGRAM = """
import os

def process(): return os.getpid()
def times(): return {times}
def target(): return {target!r}
def score(): return 0.75
"""


@pytest.fixture
def judged(tmp_path):
    """A function that evaluates a program whose sandbox loses a process so many times."""
    (tmp_path / "evaluate.py").write_text(EVALUATE)

    def judge(target, times):
        marks = tmp_path / f"{target}{times}"
        marks.mkdir()
        setup = {
            "kind": "program", "evaluator": str(tmp_path / "evaluate.py"), "splits": {},
            "settings": {"marks": str(marks)}, "sandbox": {"wall_s": 5.0},
        }  # fmt: skip

        async def body():
            pool = WorkerPool(setup, 1, tmp_path / "workers")
            try:
                await pool.start()
                source = PROGRAM.format(target=target, times=times)
                return (await pool.evaluate({"source": source}, "search", 30)).evaluation.score
            finally:
                await pool.close()

        return asyncio.run(body())

    return judge


@pytest.mark.parametrize("target", ["program", "server"])
def test_a_program_that_loses_its_process_once_is_scored_all_the_same(judged, target):
    assert judged(target, 1) == 0.75


@pytest.mark.parametrize(("target", "reason"), [("program", "memory"), ("server", "crash")])
def test_the_second_time_it_is_the_programs_failure(judged, target, reason):
    with pytest.raises(CandidateError) as caught:
        judged(target, 2)
    assert caught.value.reason == reason


def test_what_a_program_does_itself_is_no_accident():
    assert is_accident(ServerGone("the sandbox server ended"))
    assert is_accident(SandboxError("no process can be made"))
    assert is_accident(SandboxMemory("killed by the system"))
    assert not is_accident(SandboxMemory("more memory than allowed", kind="MemoryError"))
    assert not is_accident(SandboxCrash("exit status 3"))
    assert not is_accident(SandboxTimeout("no answer"))


def test_workers_that_cannot_start_again_stop_the_run_and_blame_no_program(tmp_path):
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    setup = {"kind": "program", "evaluator": str(tmp_path / "evaluate.py"), "splits": {}, "settings": {}}

    async def body():
        pool = WorkerPool(setup, 1, tmp_path / "workers")
        try:
            await pool.start()
            (tmp_path / "evaluate.py").write_text("import no_such_module_here\n")
            pool._workers[0]._process.kill()
            with pytest.raises(RunError, match=r"a worker cannot be started any more: evaluate\.py, line 1: Module"):
                await pool.evaluate({"source": "x = 1"}, "search", 30)
        finally:
            await pool.close()

    asyncio.run(body())
