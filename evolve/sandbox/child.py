"""What runs in the forked child: into the jail, then one reply per request until there are no more."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from evolve.errors import CandidateError
from evolve.memory import is_lack_of_memory
from evolve.sandbox import kernel
from evolve.sandbox.jail import Confinement, Jail, allow_report
from evolve.sandbox.wire import FrameReader, pack

Entry = Callable[[dict[str, Any], dict[str, Any]], Any]

PROGRAM_FILENAME = "<program>"
"""The file name under which program text is compiled; lines of errors are looked up by it."""

REQUEST_FD, REPLY_FD, LEASH_FD, RULESET_FD = 3, 4, 5, 6
_PIECE_BYTES = 2**20
_MESSAGE_CHARACTERS = 4000
_OUT_OF_MEMORY = pack({"error": {"kind": "MemoryError", "message": "out of memory", "line": None}})


@dataclass(frozen=True)
class Descriptors:
    """The child's ends: requests arrive on one pipe, replies leave on another; the leash tells the client of a failed
    jail."""

    request: int
    reply: int
    leash: int


def run(
    entry: Entry, descriptors: Descriptors, jail: Jail, confinement: Confinement, task_limit: int | None
) -> NoReturn:
    """Runs in the forked process and never returns."""
    server = os.getppid()
    try:
        _enter(descriptors, jail, confinement, task_limit, server)
    # a process boundary: whatever fails here must not let the program run
    except BaseException as error:
        os.write(LEASH_FD, json.dumps({"failed": f"{type(error).__name__}: {error}"[:500]}).encode())
        os._exit(1)
    os.close(LEASH_FD)
    try:
        converse(entry, REQUEST_FD, REPLY_FD)
    finally:
        os._exit(0)


def _enter(descriptors: Descriptors, jail: Jail, confinement: Confinement, task_limit: int | None, server: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    _keep_only(descriptors, jail)
    jail.enter(confinement, task_limit, server)
    os.environ.clear()
    # every child is a copy of one process: the same seeds, so that a program gives the same answer each time
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    gc.enable()


def _keep_only(descriptors: Descriptors, jail: Jail) -> None:
    """Moves the wanted descriptors to 3 and up and closes all others; 0 to 2 are the null device."""
    wanted = [descriptors.request, descriptors.reply, descriptors.leash, jail.ruleset]
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) if fd >= 0 else -1 for fd in wanted]
    os.dup2(0, 1)
    os.dup2(0, 2)
    for place, fd in zip((REQUEST_FD, REPLY_FD, LEASH_FD, RULESET_FD), aside, strict=True):
        if fd >= 0:
            os.dup2(fd, place)
        else:
            os.closerange(place, place + 1)
    kernel.close_from(RULESET_FD + 1)
    jail.ruleset = RULESET_FD if jail.landlock_abi else -1


def converse(entry: Entry, request_fd: int, reply_fd: int) -> None:
    """Answers request frames until the client closes its end."""
    while True:
        reader = FrameReader()
        while reader.wanted_bytes:
            piece = os.read(request_fd, min(reader.wanted_bytes, _PIECE_BYTES))
            if not piece:
                return
            reader.feed(piece)
        _send(reply_fd, _answer(entry, reader))


def _answer(entry: Entry, reader: FrameReader) -> bytes:
    try:
        result = entry(*reader.message())
        reply, arrays = result if isinstance(result, tuple) else (result, {})
        if not isinstance(reply, dict):
            raise TypeError(f"the entry returned {type(reply).__name__}; expected a dict, or a dict and arrays")
        return pack({"reply": reply}, arrays)
    # a process boundary: everything a program can raise becomes a record
    except BaseException as error:
        try:
            if isinstance(error, MemoryError):
                allow_report()
            return pack({"error": error_record(error)})
        except BaseException:
            return _OUT_OF_MEMORY if isinstance(error, MemoryError) else pack({"error": {"kind": "Error"}})


def _send(fd: int, frame: bytes) -> None:
    view = memoryview(frame)
    while view:
        view = view[os.write(fd, view[:_PIECE_BYTES]) :]


def error_record(error: BaseException) -> dict[str, Any]:
    """Kind, message and line of the program for an exception; harmless whatever the exception's methods do."""
    kind = error.kind if isinstance(error, CandidateError) else type(error).__name__
    for base in (MemoryError, RecursionError, SystemExit, KeyboardInterrupt):
        if isinstance(error, base):
            kind = base.__name__
    message = _message(error)
    if is_lack_of_memory(error, message):
        kind = "MemoryError"
    # no half characters: they cannot be written
    text = message.encode(errors="replace").decode()
    return {"class": type(error).__name__, "kind": kind, "message": text, "line": _line(error)}


def _message(error: BaseException) -> str:
    try:
        if isinstance(error, SyntaxError):
            return str(error.msg)[:_MESSAGE_CHARACTERS]
        return str(error)[:_MESSAGE_CHARACTERS]
    except BaseException as second:
        return f"(its text cannot be read: {type(second).__name__})"


def _line(error: BaseException) -> int | None:
    try:
        own: object = getattr(error, "line", None)
    except BaseException:
        own = None
    if isinstance(own, int) and not isinstance(own, bool):
        return own
    if isinstance(error, SyntaxError) and error.filename == PROGRAM_FILENAME:
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM_FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
