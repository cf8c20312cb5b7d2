"""One evaluation process: ``python -m evolve.evaluate.worker``.

Frames (see ``evolve.evaluate.frames``) on standard input and output. First ``{"hello": setup}``, answered by
``{"ready": {...}}`` or ``{"error": {...}}``. Then requests with ``id`` and ``do`` (``evaluate``, ``export``,
``check_plan``), each answered by a frame with the same ``id`` and either its results or ``error``. Ends at the end of
its input or with its parent. Whatever the problem's code prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

from evolve.errors import EvaluatorError, EvolveError
from evolve.evaluate import frames
from evolve.evaluate.evaluator import Judged
from evolve.packed import PackedProvenance

_PR_SET_PDEATHSIG = 1


class Service(Protocol):
    """What a worker does for one kind of problem."""

    def ready(self) -> dict[str, Any]: ...
    def evaluate(self, request: Mapping[str, Any]) -> Judged: ...
    def export(self, request: Mapping[str, Any]) -> dict[str, Any]: ...
    def check_plan(self, request: Mapping[str, Any]) -> dict[str, Any]: ...
    def close(self) -> None: ...


def main() -> int:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides what it means
    requests, replies = sys.stdin.buffer, take_output()
    hello = frames.read(requests)
    if hello is None:
        return 0
    try:
        service = _service(hello["hello"])
        _send(replies, {"ready": service.ready()})
    except EvolveError as error:
        _send(replies, {"error": frames.describe(error)})
        return 1
    while (request := frames.read(requests)) is not None:
        _send(replies, _answer(service, request))
    service.close()
    return 0


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends, however that happens."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Log(io.RawIOBase):
    """Standard error where the disk may be full: what cannot be written is lost, and nobody who prints fails."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return os.write(2, data)
        return len(data)


def take_output() -> BinaryIO:
    """Standard output for frames alone: from now on everything else that is printed goes to standard error."""
    stream = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    log = io.BufferedWriter(_Log())
    sys.stdout = sys.stderr = io.TextIOWrapper(log, "utf-8", errors="backslashreplace", line_buffering=True)
    return stream


def _service(setup: Mapping[str, Any]) -> Service:
    # What a kind needs is imported only here: torch takes seconds, and programs go without.
    if setup["kind"] == "merge":
        from evolve.evaluate.merging import MergeService

        return MergeService(setup)
    from evolve.evaluate.programs import ProgramService

    return ProgramService(setup)


def _answer(service: Service, request: Mapping[str, Any]) -> dict[str, Any]:
    number = request["id"]
    try:
        if request["do"] == "evaluate":
            judged = service.evaluate(request)
            answer = {
                "id": number,
                "evaluation": judged.evaluation.to_dict(),
                "seconds": sum(judged.phases.values()),
                "phases": judged.phases,
                "provenance": judged.provenance and PackedProvenance.of(judged.provenance).to_dict(),
                "stopped": judged.stopped,
                "items_total": judged.items_total,
                "note": judged.note,
            }
        else:
            action = {"export": service.export, "check_plan": service.check_plan}[request["do"]]
            answer = {"id": number, **action(request)}
        frames.pack(answer)
    except frames.FrameError as error:
        return {"id": number, "error": frames.describe(EvaluatorError(f"evaluate() returned too much: {error}"))}
    except EvolveError as error:
        return {"id": number, "error": frames.describe(error)}
    return answer


def _send(stream: BinaryIO, message: Mapping[str, Any]) -> None:
    pending = memoryview(frames.pack(message))
    while pending:
        pending = pending[stream.write(pending) :]


if __name__ == "__main__":
    sys.exit(main())
