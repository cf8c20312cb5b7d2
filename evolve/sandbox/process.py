"""One jailed process as the client sees it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

from evolve.errors import CandidateError, SandboxCrash, SandboxError, SandboxMemory, SandboxTimeout
from evolve.sandbox.launcher import ForkServer, ServerGone
from evolve.sandbox.limits import SandboxLimits
from evolve.sandbox.wire import FrameReader

DEATH_TIMEOUT_S = 5.0
CPU_CHECK_S = 0.25
CLOSED_PIPE_PATIENCE_S = 1.0
"""A process that ends closes its pipes first; one that lives longer than this after it has closed them on purpose."""
_PIECE_BYTES = 2**20
_REPORT_BYTES = 2**12


class Process:
    """A jailed process with its two pipes and its leash; not for several threads at once.

    It is killed by ``close``, by whatever goes wrong in ``exchange``, and when this process ends.
    """

    def __init__(self, server: ForkServer, limits: SandboxLimits, *, bound_cpu: bool, probe: bool = False) -> None:
        """Raises ServerGone when the server is no longer there."""
        self._limits = limits
        self._report: Mapping[str, Any] | None = None
        self._closed = False
        confinement = {
            "cpu_s": math.ceil(limits.cpu_s) if bound_cpu else None,
            "memory_bytes": int(limits.memory_bytes),
            "threads": int(limits.threads),
            "descriptors": int(limits.descriptors),
        }
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as mine:
            requests, self._requests = os.pipe()
            theirs.callback(os.close, requests)
            mine.callback(os.close, self._requests)
            self._replies, replies = os.pipe()
            theirs.callback(os.close, replies)
            mine.callback(os.close, self._replies)
            self._leash, leash = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            theirs.callback(leash.close)
            mine.callback(self._leash.close)
            os.set_blocking(self._requests, False)
            os.set_blocking(self._replies, False)
            server.order({"probe": probe, "confinement": confinement}, [requests, replies, leash.fileno()])
            self._ends = mine.pop_all()
        self._pid = 0
        self._allowed_cpu_s = 0.0

    def exchange(self, frame: bytes, timeout_s: float) -> FrameReader:
        """Sends a request frame and returns the whole reply frame, not looked into yet.

        Raises SandboxTimeout, SandboxMemory or SandboxCrash, and SandboxError when the process could not be jailed;
        after any of these the process is dead.
        """
        try:
            return self._exchange(memoryview(frame), timeout_s)
        except BaseException:
            self.close()
            raise

    def _exchange(self, pending: memoryview, timeout_s: float) -> FrameReader:
        deadline = time.monotonic() + timeout_s
        self._allowed_cpu_s += self._limits.cpu_s
        reader = FrameReader(self._limits.output_bytes)
        poller = select.poll()
        poller.register(self._replies, select.POLLIN)
        if poller.poll(0) and self._receive(reader):
            raise SandboxCrash("the process wrote a reply before it was asked")
        poller.register(self._leash, select.POLLIN)
        poller.register(self._requests, select.POLLOUT)
        while reader.wanted_bytes:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise SandboxTimeout(f"no answer within {timeout_s:g} s; make the program faster")
            ready = dict(poller.poll(min(remaining_s, CPU_CHECK_S) * 1000))
            if self._cpu_s() > self._allowed_cpu_s:
                raise SandboxTimeout(self._too_much_cpu)
            if self._requests in ready:
                pending = self._write(pending)
                if not pending:
                    poller.unregister(self._requests)
            ended = self._leash.fileno() in ready and self._hear()
            if self._replies not in ready and not ended:
                continue
            if not self._receive(reader, everything=ended) and reader.wanted_bytes:
                raise self._cause()
        return reader

    def _write(self, pending: memoryview) -> memoryview:
        try:
            return pending[os.write(self._requests, pending[:_PIECE_BYTES]) :]
        except BlockingIOError:
            return pending
        except BrokenPipeError:
            # the reply pipe tells what happened
            return pending[:0]

    def _receive(self, reader: FrameReader, *, everything: bool = False) -> bool:
        """Reads what has arrived; False when there is nothing and will be nothing."""
        while reader.wanted_bytes:
            try:
                piece = os.read(self._replies, min(reader.wanted_bytes, _PIECE_BYTES))
            except BlockingIOError:
                return not everything
            if not piece:
                return False
            reader.feed(piece)
            if not everything:
                return True
        return True

    def close(self) -> None:
        """Kills the process if it lives and waits until it is gone."""
        if self._closed:
            return
        self._closed = True
        with self._ends:
            with contextlib.suppress(OSError):
                # the server sees the end of the leash, kills, and reports
                self._leash.shutdown(socket.SHUT_WR)
            self._read_report(DEATH_TIMEOUT_S)

    def _read_report(self, timeout_s: float) -> None:
        """Waits until the server tells how the process ended; ``{}`` stands for a server that ended itself."""
        self._leash.settimeout(timeout_s)
        with contextlib.suppress(TimeoutError):
            while self._report is None:
                self._hear()

    def _hear(self) -> bool:
        """Takes one message from the leash; False for the server's first, which tells the process id."""
        try:
            message = json.loads(self._leash.recv(_REPORT_BYTES) or b"{}")
        except ConnectionError:
            message = {}
        if "pid" in message:
            self._pid = int(message["pid"])
            return False
        self._report = message
        return True

    def _cpu_s(self) -> float:
        """CPU time that all threads of the process have used, 0 when it is gone."""
        try:
            # the clock of another process, as clock_getcpuclockid(3) makes its number
            return time.clock_gettime(~self._pid << 3 | 2) if self._pid else 0.0
        except OSError:
            return 0.0

    @property
    def _too_much_cpu(self) -> str:
        return f"used more than {self._limits.cpu_s:g} s of CPU time; make the program faster"

    def _cause(self) -> CandidateError | SandboxError:
        """Why the reply pipe ended without a reply."""
        self._read_report(CLOSED_PIPE_PATIENCE_S)
        if self._report is None:
            return SandboxCrash("the program closed the pipe for its reply")
        if not self._report:
            return ServerGone("the sandbox server ended during this call; the next call starts a new one")
        if "failed" in self._report:
            return SandboxError(f"a process could not be jailed: {self._report['failed']}")
        status, cpu_s = self._report["status"], self._report["cpu_s"]
        if not os.WIFSIGNALED(status):
            return SandboxCrash(f"the process ended with exit status {os.WEXITSTATUS(status)} and without a reply")
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu_s >= self._limits.cpu_s):
            return SandboxTimeout(self._too_much_cpu)
        if number == signal.SIGKILL:
            return SandboxMemory("killed by the system, most likely because the machine ran out of memory")
        name = signal.strsignal(number) or "a signal"
        return SandboxCrash(f"the process was killed by {name} (deep recursion or a bug in native code)")
