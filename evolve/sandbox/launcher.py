"""Starts the fork server and hands it orders."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.errors import SandboxCrash, SandboxError

START_TIMEOUT_S = 180.0
CLOSE_TIMEOUT_S = 5.0
_ANSWER_BYTES = 2**16
_PACKAGE_FOLDER = Path(__file__).resolve().parent.parent.parent

# the package's folder is on the path only to find the package: in a checkout it holds the whole repository
_BOOT = (
    f"import sys; sys.path.insert(0, {str(_PACKAGE_FOLDER)!r}); import evolve.sandbox.server as server; "
    "del sys.path[0]; server.main()"
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# needed to find shared libraries in some installations; nothing else of the caller's environment is passed on
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)


class ServerGone(SandboxCrash):
    """The fork server ended before it answered; a new one can take the order."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=SandboxCrash.__name__)


@dataclass(frozen=True)
class ServerSettings:
    """What a fork server loads and how it jails. ``without`` leaves layers out (for tests)."""

    entry: str
    preload: Sequence[str]
    path: Sequence[str] = ()
    without: Sequence[str] = ()


class ForkServer:
    """A running fork server. Orders may be given from any thread; a socket keeps each of them whole."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        document = {**vars(settings), "preload": list(settings.preload)}
        # -P and -s keep the working folder and the user's modules out, as -I does; -I would ignore the hash seed too
        command = [sys.executable, "-P", "-s", "-B", "-c", _BOOT, str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self._process = subprocess.Popen(
                [*command, json.dumps(document)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=[theirs.fileno()],
                env=environment(),
                cwd="/",
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> Mapping[str, Any]:
        """Layers the server found. Raises SandboxError when it cannot start."""
        self._control.settimeout(START_TIMEOUT_S)
        try:
            answer = json.loads(self._control.recv(_ANSWER_BYTES) or b"{}")
        except TimeoutError:
            answer = {"failed": f"no answer within {START_TIMEOUT_S:g} s"}
        except OSError as error:
            answer = {"failed": str(error)}
        self._control.settimeout(None)
        if "ready" in answer:
            ready: Mapping[str, Any] = answer["ready"]
            return ready
        reason = answer.get("failed") or self._last_words() or f"status {self._process.poll()}"
        modules = ", ".join((*self._settings.preload, self._settings.entry))
        raise SandboxError(f"the sandbox server could not start: {reason}; it loads {modules}")

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_TIMEOUT_S)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def order(self, order: Mapping[str, Any], fds: Sequence[int]) -> None:
        """Has a child forked that owns ``fds``: its end of the requests, of the replies, and the server's leash."""
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], list(fds))
        except OSError as error:
            raise ServerGone(f"the sandbox server has ended ({error}); the next call starts a new one") from error

    def close(self) -> None:
        """Ends the server and with it all its children."""
        self._control.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()


def environment() -> dict[str, str]:
    """The server's whole environment. One hash seed for all, so that sets have the same order in every process."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    fixed = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    hidden = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return {**kept, **fixed, **hidden, **dict.fromkeys(_THREAD_VARIABLES, "1")}
