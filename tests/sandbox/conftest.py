from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evolve.sandbox import Sandbox, SandboxLimits
from evolve.sandbox.program import ENTRY

ENTRIES = Path(__file__).parent / "entries"
LIMITS = SandboxLimits(wall_s=20, cpu_s=20, memory_bytes=256 * 2**20, output_bytes=2**20, threads=32)
SECRET = "the-parent's-secret"

Attack = Callable[..., Any]


@pytest.fixture(scope="session")
def programs() -> Iterator[Sandbox]:
    """A sandbox for programs; the environment of the parent holds a secret while its server starts."""
    os.environ["SANDBOX_TEST_SECRET"] = SECRET
    with Sandbox(ENTRY, ("numpy", "encodings.idna"), LIMITS) as sandbox:
        yield sandbox
    del os.environ["SANDBOX_TEST_SECRET"]


@pytest.fixture
def attack(programs: Sandbox) -> Attack:
    """Runs the function ``attack`` of a program text; arguments go to it as plain data."""

    def run(source: str, *args: Any, timeout_s: float | None = None) -> Any:
        request = {"source": source, "function": "attack", "args": list(args)}
        return programs.run(request, timeout_s=timeout_s)[0]["value"]

    return run


@pytest.fixture(autouse=True)
def still_serving(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every attack, the same sandbox answers a good request from the same server."""
    if "programs" not in request.fixturenames:
        yield
        return
    sandbox: Sandbox = request.getfixturevalue("programs")
    before = sandbox.run({"source": "import os\ndef f(): return os.getppid()", "function": "f"})
    yield
    after = sandbox.run({"source": "import os\ndef f(): return os.getppid()", "function": "f"})
    assert after == before


@pytest.fixture
def canaries(tmp_path: Path) -> Iterator[Path]:
    """A folder open to everyone with files that must stay as they are; only Landlock and seccomp stand before it."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/") and len(folder.parts) > 2:
            folder.chmod(0o777)
    for name, mode in (("private", 0o600), ("public", 0o666)):
        (tmp_path / name).write_text("canary")
        (tmp_path / name).chmod(mode)
    before = {path.name: path.stat() for path in tmp_path.iterdir()}
    yield tmp_path
    after = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    for name, status in after.items():
        assert (tmp_path / name).read_text() == "canary"
        assert (status.st_mode, status.st_uid, status.st_mtime_ns) == (
            before[name].st_mode,
            before[name].st_uid,
            before[name].st_mtime_ns,
        )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A real listener on loopback that must see no connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()
