"""Real runs, and the means to hurt them: their processes, and full and read-only disks."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_FILE = Path(__file__).parent.parent / "loop" / "conftest.py"
_spec = importlib.util.spec_from_file_location("evolve_tests_loop_fixtures", _FILE)
assert _spec is not None and _spec.loader is not None
_loop = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _loop
_spec.loader.exec_module(_loop)

cache = _loop.cache
terminal = _loop.terminal

_PR_SET_CHILD_SUBREAPER = 36
WORKER = "evolve.evaluate.worker"
FORK_SERVER = "evolve.sandbox.server"
END_TIMEOUT_S = 60.0


def _parents():
    """The parent of every process that is alive."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = int(fields[1])
    return found


def _command(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


class Family:
    """The processes of a run by what they do: ``worker``, ``server`` (of forks) and ``sandbox`` (its children)."""

    def __init__(self, loop):
        self.members = {"loop": [loop], "worker": [], "server": [], "sandbox": []}
        parents = _parents()
        children = {}
        for pid, parent in parents.items():
            children.setdefault(parent, []).append(pid)
        self._walk(loop, children)

    def _walk(self, parent, children):
        for pid in sorted(children.get(parent, ())):
            command = _command(pid)
            if parent in self.members["server"]:
                self.members["sandbox"].append(pid)
            elif WORKER in command:
                self.members["worker"].append(pid)
            elif FORK_SERVER in command:
                self.members["server"].append(pid)
            self._walk(pid, children)

    def kill(self, kind, rng):
        """Kills one of a kind; False when there is none now."""
        if not self.members[kind]:
            return False
        try:
            os.kill(rng.choice(self.members[kind]), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture
def orphans():
    """A function that waits for the end of every process a test has left behind and returns those that stay.

    While it is in use this process adopts all descendants whose parents have ended.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = {pid for pid, parent in _parents().items() if parent == os.getpid()}
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0

    def left():
        deadline = time.monotonic() + END_TIMEOUT_S
        while True:
            own = [pid for pid, parent in _parents().items() if parent == os.getpid() and pid not in before]
            if not own or time.monotonic() > deadline:
                return {pid: _command(pid) for pid in own}
            time.sleep(0.05)

    yield left
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)
    for pid, parent in _parents().items():
        if parent == os.getpid() and pid not in before:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def family():
    """The class that finds a run's processes."""
    return Family


def slow_program(terminal, seconds):
    """Makes each evaluation of the program example take a while, and its sandbox process live as long."""
    path = terminal.folder / "program" / "evaluate.py"
    call = re.compile(r'^( +)(.*candidate\.call\("approximate", x\).*)$', re.MULTILINE)
    text, count = call.subn(rf"\1\2\n\1__import__('time').sleep({seconds})\n\1\2", path.read_text())
    assert count == 1
    path.write_text(text)


@pytest.fixture
def slowed(terminal):
    """A function that makes evaluations of the program example slow."""
    return lambda seconds: slow_program(terminal, seconds)


@pytest.fixture
def small_disk(tmp_path):
    """A function that gives a file system of so many kilobytes; skipped where none may be mounted."""
    mounted = []

    def mount(kilobytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def remounted():
    """A function that changes an option of a small disk, such as ``size=20000k`` or ``ro``."""

    def remount(folder, option):
        subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True, capture_output=True)

    return remount
