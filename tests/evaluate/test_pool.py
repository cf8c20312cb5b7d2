"""Real worker processes; those of programs start fast, those of merges import torch and are started once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from evolve.errors import (
    CandidateError,
    DonorError,
    EvaluationTimeout,
    EvaluatorError,
    InvalidPlan,
    UsageError,
    WorkerDied,
)
from evolve.evaluate.environment import worker_environment
from evolve.evaluate.pool import WorkerPool
from evolve.site import Site

EVALUATE = """
import os, sys, time
from evolve.evaluation import Evaluation

def evaluate(candidate):
    behaviour = candidate.source.strip("# ")
    if behaviour == "raise":
        raise KeyError("answer")
    if behaviour == "hang":
        time.sleep(600)
    if behaviour == "die":
        print("out of patience", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    if behaviour == "nan":
        return Evaluation(float("nan"))
    if behaviour == "process":
        return Evaluation(os.getpid())
    if behaviour == "environment":
        return Evaluation(1, feedback=repr(sorted(os.environ)))
    if behaviour == "print":
        print("x" * 100_000)
        os.write(1, b"directly to the descriptor")
    if behaviour.startswith("def"):
        return Evaluation(candidate.call("f", 20), metrics={"items": len(candidate.items)})
    time.sleep(float(candidate.settings.get("seconds", 0)))
    return Evaluation(0.5, feedback=behaviour, outcomes=[1] * len(candidate.items))
"""


def _program_setup(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "evaluate.py").write_text(EVALUATE)
    (folder / "search.jsonl").write_text('{"q": 1}\n')
    (folder / "test.jsonl").write_text('{"q": 1}\n{"q": 2}\n')
    setup = {
        "kind": "program",
        "evaluator": str(folder / "evaluate.py"),
        "splits": {"search": str(folder / "search.jsonl"), "test": str(folder / "test.jsonl")},
        "settings": {},
        "sandbox": {"wall_s": 5.0},
    }
    return {**setup, **changes}


def _with_pool(setup: dict[str, Any], folder: Path, count: int, body: Callable[[WorkerPool], Awaitable[None]]) -> None:
    """Runs ``body`` with a started pool and checks that no process outlives it."""

    async def run() -> None:
        pool = WorkerPool(setup, count, folder / "workers")
        seen = []
        try:
            await pool.start()
            seen += [worker._process.pid for worker in pool._workers]
            await body(pool)
            seen += [worker._process.pid for worker in pool._workers]
        finally:
            await pool.close()
        assert not [pid for pid in seen if Path(f"/proc/{pid}").exists()]

    asyncio.run(run())


async def _raises(error: type[Exception], match: str, awaitable: Awaitable[Any]) -> Any:
    with pytest.raises(error, match=match) as caught:
        await awaitable
    return caught.value


def test_programs_are_evaluated_and_mistakes_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "secret")

    async def body(pool: WorkerPool) -> None:
        assert pool.info["items"] == {"search": 1, "test": None}
        assert pool.info["sandbox"]
        started: list[bool] = []
        result = await pool.evaluate({"source": "def f(x): return x + 1"}, "search", 30, lambda: started.append(True))
        assert (result.evaluation.score, result.evaluation.metrics) == (21, {"items": 1})
        assert started == [True]
        assert result.seconds == sum(result.phases.values()) > 0
        assert (await pool.evaluate({"source": "# plain"}, "test")).evaluation.outcomes == [1, 1]

        error = await _raises(CandidateError, "division", pool.evaluate({"source": "def f(x):\n return 1/0"}, "search"))
        assert (error.line, error.kind) == (2, "ZeroDivisionError")
        await _raises(
            EvaluatorError, r"evaluate\.py, line 8: KeyError: 'answer'", pool.evaluate({"source": "# raise"}, "search")
        )
        await _raises(EvaluatorError, "score = nan", pool.evaluate({"source": "# nan"}, "search"))
        await _raises(UsageError, "only merge problems", pool.export({}, tmp_path / "out"))
        assert (await pool.evaluate({"source": "# print"}, "search")).evaluation.score == 0.5
        environment = (await pool.evaluate({"source": "# environment"}, "search")).evaluation.feedback
        assert "SOME_API_KEY" not in environment
        assert "OMP_NUM_THREADS" in environment

    _with_pool(_program_setup(tmp_path), tmp_path, 1, body)
    assert "directly to the descriptor" in (tmp_path / "workers" / "0.log").read_text()


def test_a_dead_or_hanging_worker_is_replaced(tmp_path):
    async def body(pool: WorkerPool) -> None:
        first = (await pool.evaluate({"source": "# process"}, "search")).evaluation.score
        message = str(await _raises(WorkerDied, r"SIGKILL", pool.evaluate({"source": "# die"}, "search")))
        assert message.startswith("two workers died of it: ")
        assert message.endswith(f"the end of {tmp_path}/workers/0.log: out of patience | out of patience")
        second = (await pool.evaluate({"source": "# process"}, "search")).evaluation.score
        assert second != first

        await _raises(EvaluationTimeout, r"no answer within 0\.3 s", pool.evaluate({"source": "# hang"}, "search", 0.3))
        assert not Path(f"/proc/{int(second)}").exists()

        hanging = asyncio.ensure_future(pool.evaluate({"source": "# hang"}, "search"))
        await asyncio.sleep(0.2)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        assert (await pool.evaluate({"source": "# plain"}, "search")).evaluation.score == 0.5

    _with_pool(_program_setup(tmp_path), tmp_path, 1, body)


def test_an_evaluation_begins_once_however_often_workers_die(tmp_path):
    async def body(pool: WorkerPool) -> None:
        begun: list[str] = []
        process = pool._workers[0]._process
        assert process is not None
        process.kill()  # before it takes up anything
        assert (await pool.evaluate({"source": "# plain"}, "search", 30, lambda: begun.append("plain"))).evaluation
        dying = pool.evaluate({"source": "# die"}, "search", 30, lambda: begun.append("die"))
        await _raises(WorkerDied, "two workers died of it", dying)
        assert begun == ["plain", "die"]

    _with_pool(_program_setup(tmp_path), tmp_path, 1, body)


def test_requests_wait_for_a_free_worker(tmp_path):
    async def body(pool: WorkerPool) -> None:
        running: list[int] = []
        most: list[int] = []

        async def one(number: int) -> str:
            def begin() -> None:
                running.append(number)
                most.append(len(running))

            result = await pool.evaluate({"source": f"# {number}"}, "search", 30, begin)
            running.remove(number)
            return result.evaluation.feedback

        assert await asyncio.gather(*(one(number) for number in range(8))) == [str(number) for number in range(8)]
        assert max(most) == 2

    _with_pool(_program_setup(tmp_path, settings={"seconds": 0.02}), tmp_path, 2, body)


def test_a_worker_that_cannot_start_says_why_in_its_own_class(tmp_path):
    setup = _program_setup(tmp_path)
    (tmp_path / "evaluate.py").write_text("import no_such_module_here\n")

    async def start() -> None:
        pool = WorkerPool(setup, 2, tmp_path / "workers")
        await _raises(EvaluatorError, r"^evaluate\.py, line 1: ModuleNotFoundError", pool.start())
        assert not any(worker.alive for worker in pool._workers)

    asyncio.run(start())


def test_a_worker_dies_with_its_parent(tmp_path):
    """The parent is killed, so it can neither close the pipe in order nor send a signal."""
    script = (
        "import asyncio, json, sys\nfrom pathlib import Path\nfrom evolve.evaluate.pool import WorkerPool\n"
        "async def main():\n"
        "    pool = WorkerPool(json.loads(sys.argv[1]), 1, Path(sys.argv[2]))\n"
        "    await pool.start()\n"
        "    busy = asyncio.ensure_future(pool.evaluate({'source': '# hang'}, 'search'))\n"
        "    await asyncio.sleep(0.2)\n"
        "    print(pool._workers[0]._process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    arguments = [sys.executable, "-c", script, json.dumps(_program_setup(tmp_path)), str(tmp_path / "workers")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=worker_environment(1), text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 60
    while _running(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _running(worker)


def _running(pid: int) -> bool:
    """Whether a process exists and is no zombie that its new parent has yet to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_merges_are_evaluated_alike_whatever_came_before(tmp_path, problem, mix):
    async def body(pool: WorkerPool) -> None:
        sites = [Site.from_dict(site) for site in pool.info["sites"]]
        assert pool.info["donors"]["ja"]["layers"] == 3
        assert len(pool.info["donors"]["ja"]["digest"]) == 64
        assert pool.info["items"] == {"search": 3}
        plan = mix(sites, {"base": 0.5, "ja": 0.5}).to_dict()
        stacked = mix(sites, {"base": 1.0}, [("merged", 0, 1.0), ("ja", 1, -2.0)]).to_dict()

        first = await pool.evaluate({"plan": plan}, "search", 60)
        assert first.phases.keys() == {"merge", "evaluate"}
        assert first.provenance is None
        other = await pool.evaluate({"plan": stacked}, "search", 60)
        assert other.evaluation != first.evaluation
        overflow = mix(sites, {"base": 1e39}).to_dict()
        error = await _raises(CandidateError, "NaN or infinite", pool.evaluate({"plan": overflow}, "search", 60))
        assert error.kind == "NotFinite"
        broken = {**plan, "sites": plan["sites"][:-1]}
        await _raises(InvalidPlan, "sites, the model", pool.evaluate({"plan": broken}, "search", 60))
        assert (await pool.evaluate({"plan": plan}, "search", 60)).evaluation == first.evaluation

        assert await pool.check_plan(plan) == mix(sites, {"ja": 0.5, "base": 0.5}).digest
        await pool.export(stacked, tmp_path / "export", "# card")
        exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
        assert exported.config.num_hidden_layers == 2

    _with_pool(problem(), tmp_path, 1, body)
    assert "answers: [" in (tmp_path / "workers" / "0.log").read_text()


def test_a_missing_donor_ends_the_start_with_one_line(tmp_path, problem):
    setup = problem()
    setup["donors"]["math"] = str(tmp_path / "nowhere")

    async def start() -> None:
        pool = WorkerPool(setup, 1, tmp_path / "workers")
        error = await _raises(DonorError, "donor 'math': .*nowhere is no folder; .* --donor math=PATH", pool.start())
        assert "\n" not in str(error)

    asyncio.run(start())
