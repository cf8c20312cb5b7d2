"""The sandbox as the rest of the program uses it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self, TypeVar

from evolve.errors import SandboxCrash, SandboxError
from evolve.sandbox.launcher import ForkServer, ServerGone, ServerSettings
from evolve.sandbox.limits import SandboxLevel, SandboxLimits
from evolve.sandbox.process import Process
from evolve.sandbox.wire import Arrays, Message, pack, unwrap

T = TypeVar("T")

PROBE_TIMEOUT_S = 30.0


class Sandbox:
    """Runs an entry function on requests, each in a jailed process of its own. Thread-safe; calls block.

    ``entry`` (``module:function``) is ``fn(request: dict, arrays: dict) -> dict | (dict, arrays)``; it and the modules
    of ``preload`` are imported once, by a fork server that starts with the first use (or on entering the context) and
    is started anew should it die. ``path`` adds folders from which modules come; processes may read everything in them.
    ``without`` leaves out the layers ``uid``, ``landlock`` or ``seccomp``, for tests.
    """

    def __init__(
        self,
        entry: str,
        preload: Sequence[str] = (),
        limits: SandboxLimits | None = None,
        *,
        path: Sequence[str] = (),
        without: Collection[str] = (),
    ) -> None:
        self.limits = limits or SandboxLimits()
        self._settings = ServerSettings(entry, tuple(preload), tuple(path), tuple(without))
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._ready: Mapping[str, Any] | None = None
        self._level: SandboxLevel | None = None
        self._closed = False

    def __enter__(self) -> Self:
        with self._lock:
            if self._server is None and not self._closed:
                self._server = ForkServer(self._settings)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, request: Mapping[str, Any], arrays: Arrays | None = None, timeout_s: float | None = None) -> Message:
        """The entry's reply to one request, from a process that lives for this call only.

        Raises SandboxTimeout, SandboxMemory, SandboxCrash, another CandidateError for what the program raised, or
        SandboxError when there can be no jail.
        """
        frame = pack(request, arrays)

        def exchange(process: Process) -> Message:
            with contextlib.closing(process):
                reader = process.exchange(frame, self.limits.wall_s if timeout_s is None else timeout_s)
            return reader.message()

        message, reply_arrays = self._with_process(exchange)
        return unwrap(message), reply_arrays

    def session(
        self, request: Mapping[str, Any], arrays: Arrays | None = None, timeout_s: float | None = None
    ) -> Session:
        """A process that stays for several calls; ``request`` is the first, its reply is ``Session.first``. Raises as
        run."""

        def open_session(process: Process) -> Session:
            session = Session(process, self.limits)
            try:
                session.first = session.call(request, arrays, timeout_s)
            except BaseException:
                session.close()
                raise
            return session

        return self._with_process(open_session, bound_cpu=False)

    @property
    def level(self) -> SandboxLevel:
        """Which protections hold, tried out in a jailed process once per sandbox. Raises SandboxError."""
        if self._level is None:
            self._level = self._with_process(self._probed, probe=True)
        return self._level

    def close(self) -> None:
        """Ends the server and every process it started; calls under way end with SandboxCrash."""
        with self._lock:
            self._closed = True
            if self._server is not None:
                self._server.close()
                self._server = None

    def _probed(self, process: Process) -> SandboxLevel:
        ready = self._ready or {}
        request = {"user": ready["user"], "memory_bytes": self.limits.memory_bytes}
        with contextlib.closing(process):
            reader = process.exchange(pack(request), PROBE_TIMEOUT_S)
        found = unwrap(reader.message()[0])
        return SandboxLevel.from_dict({**found, "landlock": ready["landlock"], "seccomp": ready["seccomp"]})

    def _with_process(self, use: Callable[[Process], T], *, bound_cpu: bool = True, probe: bool = False) -> T:
        """What ``use`` makes of a new process. Should the server die, both are tried once more with a new one."""
        for last in (False, True):
            server = self._live_server()
            try:
                return use(Process(server, self.limits, bound_cpu=bound_cpu, probe=probe))
            except ServerGone:
                with self._lock:
                    if self._server is server:
                        self._discard_server()
                if last or self._closed:
                    raise
        raise AssertionError("unreachable")

    def _live_server(self) -> ForkServer:
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed; make a new one")
            if self._server is not None and not self._server.alive:
                self._discard_server()
            if self._server is None:
                self._server = ForkServer(self._settings)
            if self._ready is None:
                try:
                    self._ready = self._server.wait_until_ready()
                except BaseException:
                    self._discard_server()
                    raise
            return self._server

    def _discard_server(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server, self._ready = None, None


class Session:
    """A jailed process that answers several calls. Thread-safe: calls wait for each other."""

    first: Message = ({}, {})

    def __init__(self, process: Process, limits: SandboxLimits) -> None:
        self._process = process
        self._limits = limits
        self._lock = threading.Lock()
        self._ended: str | None = None

    @property
    def alive(self) -> bool:
        return self._ended is None

    def call(self, request: Mapping[str, Any], arrays: Arrays | None = None, timeout_s: float | None = None) -> Message:
        """One more request to the same process. Raises as ``Sandbox.run``.

        After a timeout, a crash or a lack of memory that ended the process, every further call is a SandboxCrash that
        says so.
        """
        frame = pack(request, arrays)
        with self._lock:
            if self._ended is not None:
                raise SandboxCrash(f"this session has ended ({self._ended}); start a new one")
            try:
                reader = self._process.exchange(frame, self._limits.wall_s if timeout_s is None else timeout_s)
                message, reply_arrays = reader.message()
            except BaseException as error:
                self._end(str(error) or type(error).__name__)
                raise
        return unwrap(message), reply_arrays

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end("it was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            self._process.close()
