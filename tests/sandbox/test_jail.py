from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.errors import CandidateError
from evolve.sandbox import Sandbox, SandboxLimits, landlock
from evolve.sandbox.jail import readable_paths, tasks_of, uid_range
from evolve.sandbox.program import ENTRY

LIMITS = SandboxLimits(wall_s=20, memory_bytes=256 * 2**20)
REPOSITORY = Path(__file__).parents[2]
ROOT = os.getuid() == 0

READS = "def f(path):\n    return open(path).read()"
FORKS = """
import os, time
def f():
    process = os.fork()
    if process == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        time.sleep(600)
    os.waitpid(process, 0)
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) > os.getpid())
"""


def test_everything_is_missing_only_where_it_must_be() -> None:
    with Sandbox(ENTRY, limits=LIMITS) as sandbox:
        level = sandbox.level
    assert level.landlock == landlock.abi()
    assert level.uid == (uid_range() is not None)
    assert all((level.seccomp, level.rlimits, level.network, level.files, level.processes))
    assert sandbox.level is level


def test_without_landlock_no_file_can_be_opened_at_all(canaries: Path) -> None:
    with Sandbox(ENTRY, limits=LIMITS, without=["landlock", "uid"]) as sandbox:
        level = sandbox.level
        assert (level.landlock, level.uid, level.imports) == (0, False, False)
        assert level.files
        assert "missing: own user id, Landlock;" in level.describe()
        with pytest.raises(CandidateError) as caught:
            sandbox.run({"source": READS, "function": "f", "args": [str(canaries / "public")]})
        assert caught.value.kind == "PermissionError"


def test_without_seccomp_files_are_safe_and_orphans_are_killed(canaries: Path) -> None:
    with Sandbox(ENTRY, limits=LIMITS, without=["seccomp"]) as sandbox:
        level = sandbox.level
        assert not level.seccomp
        assert level.files
        assert not level.network
        assert {"seccomp", "no network", "no processes"} <= set(level.missing)
        with pytest.raises(CandidateError) as caught:
            sandbox.run({"source": READS, "function": "f", "args": [str(canaries / "public")]})
        assert caught.value.kind == "PermissionError"
        orphans = "import os\n" + FORKS.replace('os.listdir("/proc")', "[]")
        assert sandbox.run({"source": orphans, "function": "f"})[0] == {"value": []}
        assert sandbox._server is not None
        assert _processes_below(sandbox._server.pid) == []


def _processes_below(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, father = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(father) == parent and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_the_repository_is_not_readable_but_the_package_is() -> None:
    paths = readable_paths([])
    assert REPOSITORY / "evolve" in paths
    assert not any(path == REPOSITORY or path in REPOSITORY.parents for path in paths)
    assert Path("/") not in paths
    assert Path(os.__file__).resolve().parent in paths


def test_tasks_are_counted() -> None:
    assert tasks_of(os.getuid()) >= 1
    assert tasks_of(2**31 - 7) == 0


def test_capabilities_are_dropped_for_good() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from evolve.sandbox import kernel\n"
        "kernel.drop_capabilities()\n"
        "print(kernel.effective_capabilities())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "0\n"


def _other_python() -> str | None:
    """A Python that an ordinary user can start; the one running the tests may lie in root's private folder."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        command = [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if (
                subprocess.run(
                    command, user=65534, group=65534, extra_groups=[], capture_output=True, check=False
                ).returncode
                == 0
            ):
                return candidate
        except OSError:
            continue
    return None


AS_ORDINARY_USER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from evolve.errors import CandidateError, SandboxMemory
from evolve.sandbox import Sandbox, SandboxLimits
os.environ["SECRET"] = "x"
source = '''
import os, socket, threading
def attempts(path):
    return {
        "fork": os.fork, "kill": lambda: os.kill(os.getppid(), 9), "kill all": lambda: os.kill(-1, 9),
        "environ": lambda: open(f"/proc/{os.getppid()}/environ").read(), "socket": socket.socket,
        "read": lambda: open(path).read(), "write": lambda: open(path, "a"), "remove": lambda: os.remove(path),
        "nice": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    }
def f(path):
    names = []
    for name, attempt in attempts(path).items():
        try:
            attempt()
            names.append(name)
        except OSError:
            pass
    threads = [threading.Thread(target=print) for _ in range(4)]
    [thread.start() for thread in threads]
    return names, dict(os.environ)
def g(): return len(bytearray(10 * 2**30))
'''
with Sandbox("evolve.sandbox.program:serve", limits=SandboxLimits(memory_bytes=2**28)) as sandbox:
    level = sandbox.level
    assert level.missing == ("own user id",), level
    assert level.imports
    reply = sandbox.run({"source": source, "function": "f", "args": [sys.argv[2]]})[0]
    assert reply == {"value": [[], {}]}, reply
    assert sandbox.run({"source": "import graphlib, tomllib\\ndef f(): return 1", "function": "f"})[0] == {"value": 1}
    try:
        sandbox.run({"source": source, "function": "g"})
    except SandboxMemory:
        print("contained")
"""


@pytest.mark.skipif(not ROOT, reason="an ordinary user already runs every other test")
def test_an_ordinary_user_is_contained_too(tmp_path: Path) -> None:
    python = _other_python()
    if python is None:
        pytest.skip("no Python here that an ordinary user can start")
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    canary = tmp_path / "canary"
    canary.write_text("canary")
    os.chown(canary, 65534, 65534)
    result = subprocess.run(
        [python, "-B", "-c", AS_ORDINARY_USER, str(REPOSITORY), str(canary)],
        user=65534, group=65534, extra_groups=[], capture_output=True, text=True, cwd="/", check=False,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("contained\n", "")
    assert canary.read_text() == "canary"
