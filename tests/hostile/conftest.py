"""Canaries that nothing hostile may touch, and the way to the corpus."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

VARIABLE, SECRET = "HOSTILE_CANARY", "canary-in-the-environment"
MARKED = ("/tmp", "/var/tmp", "/dev/shm", "/run")
"""Folders in which hostile programs leave files whose names begin with ``evolve-hostile``."""


def load_corpus() -> ModuleType:
    """tests/hostile/corpus.py as a module; tests are no packages."""
    if "hostile_corpus" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hostile_corpus", Path(__file__).with_name("corpus.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["hostile_corpus"] = module
        spec.loader.exec_module(module)
    return sys.modules["hostile_corpus"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``hostile_program`` and ``hostile_recipe`` are each program of the corpus in turn."""
    for fixture, kind in (("hostile_program", "program"), ("hostile_recipe", "merge")):
        if fixture in metafunc.fixturenames:
            found = load_corpus().corpus(kind)
            metafunc.parametrize(fixture, found, ids=[one.name for one in found])


@dataclass(frozen=True)
class Canaries:
    """A folder open to everyone, a listener, a process of the same user, and a variable of the environment."""

    folder: Path
    listener: socket.socket
    datagrams: socket.socket
    process: subprocess.Popen[bytes]
    before: dict[str, tuple[object, ...]]

    @property
    def places(self) -> dict[str, str]:
        """What stands in a program for each of them."""
        port = self.listener.getsockname()[1]
        return {"FOLDER": str(self.folder), "PORT": str(port), "PID": str(self.process.pid)}

    def disturbed(self) -> list[str]:
        """What has happened to them, nothing if all is well."""
        found = [f"{name} changed" for name, state in files(self.folder).items() if self.before.get(name) != state]
        found += [
            f"{name} is gone"
            for name in self.before
            if not (self.folder / name).is_symlink() | (self.folder / name).exists()
        ]
        for place, ears in (("a connection", self.listener), ("a datagram", self.datagrams)):
            try:
                heard = ears.accept() if place == "a connection" else ears.recv(100)
                found.append(f"{place} came: {heard!r}")
            except BlockingIOError:
                pass
        if self.process.poll() is not None or state_of(self.process.pid) != "S":
            found.append("the process does not sleep any more")
        if os.getpriority(os.PRIO_PROCESS, self.process.pid) != os.getpriority(os.PRIO_PROCESS, 0):
            found.append("the process has another niceness")
        if os.environ.get(VARIABLE) != SECRET:
            found.append("the variable changed")
        for place in MARKED:
            found += [str(path) for path in Path(place).glob("evolve-hostile*")]
        return found


def files(folder: Path) -> dict[str, tuple[object, ...]]:
    """Content and properties of each file in a folder."""
    return {path.name: (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns, path.lstat().st_nlink,
                        tuple(os.listxattr(path, follow_symlinks=False)),
                        path.read_text() if path.is_file() and not path.is_symlink() else "")
            for path in folder.iterdir()}  # fmt: skip


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def children_of(process: int) -> list[int]:
    """Living processes that a process has started."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process and fields[0] != "Z":
                found.append(int(path.name))
    return found


@pytest.fixture(scope="session", autouse=True)
def variable() -> Iterator[None]:
    """The canary variable, in the environment of every process that the tests start."""
    os.environ[VARIABLE] = SECRET
    yield
    del os.environ[VARIABLE]


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    """Canaries behind nothing but the sandbox: their folder is open to every user."""
    folder = tmp_path_factory.mktemp("canaries")
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and len(place.parts) > 2:
            place.chmod(0o777)
    for name, mode in (("private", 0o600), ("public", 0o666)):
        (folder / name).write_text("canary")
        (folder / name).chmod(mode)
    (folder / "link").symlink_to("/etc/passwd")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(listener.getsockname())
        listener.setblocking(False)
        datagrams.setblocking(False)
        process = subprocess.Popen(["sleep", "600"])
        while state_of(process.pid) != "S" or "sleep" not in Path(f"/proc/{process.pid}/cmdline").read_text():
            pass
        yield Canaries(folder, listener, datagrams, process, files(folder))
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def corpus() -> ModuleType:
    """tests/hostile/corpus.py."""
    return load_corpus()


@pytest.fixture(name="children_of", scope="session")
def children_of_fixture():
    return children_of
