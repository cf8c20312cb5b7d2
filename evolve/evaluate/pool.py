"""Evaluation workers as the run sees them: a queue in front of processes that may hang or die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from evolve.errors import EvaluationTimeout, EvolveError, RunError, SandboxError, WorkerDied
from evolve.evaluate import frames
from evolve.evaluate.environment import devices, worker_environment, workers
from evolve.evaluation import Evaluation
from evolve.packed import PackedProvenance

__all__ = ["Result", "WorkerPool", "workers"]

START_TIMEOUT_S = 900.0
CLOSE_TIMEOUT_S = 3.0
_TAIL_BYTES = 2000


class Result(NamedTuple):
    """An evaluation, the seconds it took in all and by phase, the model's provenance where it was measured, and what
    became of the race (see ``evolve.evaluate.evaluator.Judged``)."""

    evaluation: Evaluation
    seconds: float
    phases: dict[str, float]
    provenance: PackedProvenance | None = None
    stopped: str | None = None
    items_total: int | None = None
    note: str = ""


class WorkerPool:
    """``count`` worker processes for one problem. For use by one event loop; ``close`` leaves no process behind.

    ``setup`` is the workers' first message (see ``evolve.evaluate.worker``) with ``device`` ``auto``, ``cpu``,
    ``cuda`` or ``cuda:N``. Worker i writes its log to ``log_folder/i.log``. Requests wait for a free worker in the
    order they came.
    """

    def __init__(
        self, setup: Mapping[str, Any], count: int, log_folder: Path, *, start_timeout_s: float = START_TIMEOUT_S
    ) -> None:
        merge = setup.get("kind") == "merge"
        places = devices(str(setup.get("device", "auto"))) if merge else ["cpu"]
        self.count = count
        self.info: dict[str, Any] = {}
        self._workers = [
            _Worker({**setup, "device": places[index % len(places)]}, log_folder / f"{index}.log", start_timeout_s)
            for index in range(count)
        ]
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        self._restarts: set[asyncio.Task[None]] = set()
        self._log_folder = log_folder

    async def start(self) -> dict[str, Any]:
        """Starts all workers at once and returns what the first said of itself (``info``).

        Raises the error of a worker that cannot start, as its own class (DonorError, EvaluatorError, ...), after ending
        the others.
        """
        self._log_folder.mkdir(parents=True, exist_ok=True)
        starts = [asyncio.ensure_future(worker.start()) for worker in self._workers]
        try:
            infos = await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.close()
            raise
        self.info = infos[0]
        for worker in self._workers:
            self._free.put_nowait(worker)
        return self.info

    async def evaluate(
        self,
        work: Mapping[str, Any],
        split: str,
        timeout_s: float | None = None,
        on_start: Callable[[], None] | None = None,
    ) -> Result:
        """Evaluates ``{"plan": ...}`` or ``{"source": ...}`` on a split.

        With ``{"race": ...}`` (plain data of ``evolve.racing.Race``) a plan is evaluated in growing batches, with
        ``{"stages": True}`` either only after it has passed the problem's stages.

        ``on_start`` is called when a worker takes it up, and ``timeout_s`` counts from then. A worker that dies is
        replaced, and the evaluation made once more, with half as many prompts at a time: the system kills what takes
        too much memory. Raises CandidateError, StageRejected, EvaluatorError or ProblemError as the worker does,
        EvaluationTimeout, WorkerDied with the signal and the end of the worker's log when the second one died too, and
        RunError when workers or sandboxes cannot be started any more.
        """
        request = {"do": "evaluate", "split": split, **work}
        waiting = [] if on_start is None else [on_start]

        def begin() -> None:
            if waiting:  # the first worker may have died before it took anything up
                waiting.pop()()

        try:
            answer = await self._ask(request, timeout_s, begin)
        except WorkerDied:
            try:
                answer = await self._ask({**request, "halved": True}, timeout_s, begin)
            except WorkerDied as error:
                raise WorkerDied(f"two workers died of it: {error}") from None
        evaluation = Evaluation.from_dict(answer["evaluation"])
        provenance = answer["provenance"] and PackedProvenance.from_dict(answer["provenance"])
        rest = (answer[name] for name in ("stopped", "items_total", "note"))
        return Result(evaluation, answer["seconds"], answer["phases"], provenance, *rest)

    async def export(
        self, plan: Mapping[str, Any], folder: Path, card: str = "", timeout_s: float | None = None
    ) -> None:
        """Has a worker write a plan's model to ``folder``. Raises as ``evaluate``, and UsageError or RunError."""
        await self._ask({"do": "export", "plan": plan, "folder": str(folder), "card": card}, timeout_s, None)

    async def check_plan(self, plan: Mapping[str, Any]) -> str:
        """The digest of a plan that the workers would execute. Raises InvalidPlan."""
        return str((await self._ask({"do": "check_plan", "plan": plan}, None, None))["digest"])

    async def close(self) -> None:
        """Ends all workers; evaluations that still run are lost."""
        for restart in self._restarts:
            restart.cancel()
        await asyncio.gather(*self._restarts, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._workers))

    async def _ask(
        self, request: dict[str, Any], timeout_s: float | None, on_start: Callable[[], None] | None
    ) -> dict[str, Any]:
        worker = await self._free.get()
        try:
            if not worker.alive:
                await self._revive(worker)
            if on_start is not None:
                on_start()
            answer = await worker.ask(request, timeout_s)
        finally:
            if worker.alive:
                self._free.put_nowait(worker)
            else:
                restart = asyncio.ensure_future(self._restart(worker))
                self._restarts.add(restart)
                restart.add_done_callback(self._restarts.discard)
        if "error" in answer:
            error = frames.restore(answer["error"])
            raise RunError(str(error)) if isinstance(error, SandboxError) else error
        return answer

    async def _revive(self, worker: _Worker) -> None:
        """Starts a worker whose restart has failed. Raises RunError when it fails twice more."""
        with contextlib.suppress(EvolveError):
            await worker.start()
            return
        try:
            await worker.start()
        except EvolveError as error:
            raise RunError(f"a worker cannot be started any more: {error}") from error

    async def _restart(self, worker: _Worker) -> None:
        # An error is no news yet: whoever gets this worker next tries again and sees it.
        with contextlib.suppress(EvolveError):
            await worker.start()
        self._free.put_nowait(worker)


class _Worker:
    """One process and the pipes to it."""

    def __init__(self, setup: Mapping[str, Any], log: Path, start_timeout_s: float) -> None:
        self._setup, self._log, self._start_timeout_s = setup, log, start_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._number = 0
        self._busy = False

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> dict[str, Any]:
        """Starts a new process and returns what it says of itself."""
        with _opened(self._log) as log:
            try:
                self._process = await _spawn(log, int(self._setup.get("threads", 1)))
            except OSError as error:
                raise WorkerDied(f"a worker cannot be started: {error.strerror or error}") from None
        try:
            answer = await self._exchange({"hello": dict(self._setup)}, self._start_timeout_s)
        except TimeoutError:
            raise WorkerDied(
                f"a worker was not ready after {self._start_timeout_s:g} s; {self._last_words()}"
            ) from None
        if "error" in answer:
            await self._kill()
            raise frames.restore(answer["error"])
        ready: dict[str, Any] = answer["ready"]
        return ready

    async def ask(self, request: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
        """The answer to one request. After WorkerError or cancellation the process is gone."""
        self._number += 1
        try:
            answer = await self._exchange({"id": self._number, **request}, timeout_s)
        except TimeoutError:
            raise EvaluationTimeout(
                f"no answer within {timeout_s:g} s; raise evaluation.timeout_s if evaluations are meant to take longer"
            ) from None
        if answer.get("id") != self._number:
            await self._kill()
            raise WorkerDied(
                f"a worker answered request {answer.get('id')} in place of {self._number}; see {self._log}"
            )
        return answer

    async def close(self) -> None:
        """Lets an idle process end by itself, kills a busy one."""
        if self._process is not None:
            await self._kill(grace_s=0.0 if self._busy else CLOSE_TIMEOUT_S)

    async def _exchange(self, message: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
        """Sends a message and waits for the answer. Raises TimeoutError and WorkerDied; the process is gone then."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        frame = frames.pack(message)
        self._busy = True
        try:
            async with asyncio.timeout(timeout_s):
                # A process that died says so by ending its output.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    process.stdin.write(frame)
                    await process.stdin.drain()
                answer = await frames.receive(process.stdout)
        except BaseException:
            await self._kill()
            raise
        finally:
            self._busy = False
        if answer is None:
            code = await self._kill(grace_s=CLOSE_TIMEOUT_S)
            raise WorkerDied(f"a worker ended ({_ending(code)}); {self._last_words()}")
        return answer

    async def _kill(self, grace_s: float = 0.0) -> int:
        """Ends the process, at once or after ``grace_s``, and its children; the exit status, negative for a signal."""
        process = self._process
        assert process is not None
        if process.stdin is not None:
            process.stdin.close()
        if grace_s and process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return await process.wait()

    def _last_words(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError as error:
            return f"{self._log} cannot be read: {error.strerror}"
        tail = " | ".join(line.strip() for line in lines[-6:] if line.strip())
        return f"the end of {self._log}: {tail}" if tail else f"{self._log} is empty"


def _opened(log: Path) -> IO[bytes]:
    """A worker's log, or nowhere: a disk that is full ends no evaluation."""
    try:
        return log.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


async def _spawn(log: IO[bytes], threads: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evolve.evaluate.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env=worker_environment(threads),
        start_new_session=True,  # its whole group can be killed, and Ctrl-C in the terminal does not reach it
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
