"""What hostile programs may reach, kind by kind and in full. Single programs are in tests/hostile/programs."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolve.errors import CandidateError, SandboxCrash
from evolve.sandbox import syscalls

Attack = Callable[..., Any]
SECRET = "the-parent's-secret"

# Tries each of `attempts` and returns the names of those that were not refused.
SUCCEEDED = """
def succeeded(attempts):
    names = []
    for name, attempt in attempts.items():
        try:
            attempt()
            names.append(name)
        except (OSError, ValueError):
            pass
    return names
"""


def test_files_are_out_of_reach(attack: Attack, canaries: Path) -> None:
    source = (
        SUCCEEDED
        + """
import os, pathlib
def attack(folder):
    return succeeded({
        "private": lambda: open(folder + "/private").read(),
        "public": lambda: open(folder + "/public").read(),
        "listing": lambda: os.listdir(folder),
        "root": lambda: os.listdir("/"),
        "passwd": lambda: open("/etc/passwd").read(),
        "dotdot": lambda: open("/usr/lib/../../etc/passwd").read(),
        "proc": lambda: open("/proc/self/root/etc/passwd").read(),
        "path descriptor": lambda: os.read(os.open(folder + "/public", os.O_PATH), 1),
    })
"""
    )
    assert attack(source, str(canaries)) == []


def test_the_repository_is_out_of_reach(attack: Attack) -> None:
    source = """
import os
def attack(paths):
    found = []
    for path in paths:
        try:
            open(path).close()
            found.append(path)
        except PermissionError:
            pass
    return found
"""
    repository = Path(__file__).parents[2]
    private = [repository / "pyproject.toml", Path(__file__)]
    assert attack(source, [str(path) for path in private]) == []


def test_nothing_can_be_written(attack: Attack, canaries: Path) -> None:
    source = (
        SUCCEEDED
        + """
import os, tempfile
def attack(folder, site_packages):
    public = folder + "/public"
    attempts = {
        "append": lambda: open(public, "a").write("x"),
        "truncate by opening": lambda: os.open(public, os.O_RDONLY | os.O_TRUNC),
        "truncate": lambda: os.truncate(public, 0),
        "remove": lambda: os.remove(public),
        "rename": lambda: os.rename(public, folder + "/other"),
        "link": lambda: os.link(public, folder + "/link"),
        "symlink": lambda: os.symlink(public, folder + "/symlink"),
        "mkdir": lambda: os.mkdir(folder + "/folder"),
        "fifo": lambda: os.mkfifo(folder + "/fifo"),
        "chmod": lambda: os.chmod(public, 0o777),
        "chown": lambda: os.chown(public, os.getuid(), os.getgid()),
        "utime": lambda: os.utime(public, (0, 0)),
        "xattr": lambda: os.setxattr(public, "user.x", b"x"),
        "temporary": lambda: tempfile.TemporaryFile(),
        "nameless": lambda: os.open("/tmp", os.O_TMPFILE | os.O_RDWR),
        "memory file": lambda: os.memfd_create("x"),
        "mount": lambda: os.open("/dev/mem", os.O_RDWR),
        "chroot": lambda: os.chroot("/tmp"),
        "working folder": lambda: os.chdir(folder),
    }
    for place in (folder, "/tmp", "/var/tmp", "/dev/shm", "/run", "/", ".", site_packages, "/proc/self"):
        attempts["create in " + place] = lambda place=place: open(place + "/evolve-sandbox-attack", "w")
    return succeeded(attempts)
"""
    )
    assert attack(source, str(canaries), str(Path(pytest.__file__).parent.parent)) == []
    assert not Path("/tmp/evolve-sandbox-attack").exists()


def test_the_parents_environment_is_out_of_reach(attack: Attack) -> None:
    assert os.environ["SANDBOX_TEST_SECRET"] == SECRET
    source = """
import ctypes, gc, os
def attack(pids):
    found = []
    for pid in [*pids, os.getppid(), os.getpid(), "self", 1]:
        names = ["environ", "mem", "maps", "cmdline", "fd", "root/etc/passwd", "cwd"]
        if pid in (os.getppid(), *pids):
            names += [f"fd/{number}" for number in range(64)]
        for name in names:
            try:
                os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
                found.append(f"{pid}/{name}")
            except OSError:
                pass
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    words = [text for text in gc.get_objects() if isinstance(text, dict) and "SANDBOX_TEST_SECRET" in text]
    return found, dict(os.environ), libc.getenv(b"SANDBOX_TEST_SECRET"), len(words), libc.getenv(b"PATH")
"""
    assert attack(source, [os.getpid()]) == [[], {}, None, 0, None]


def test_one_candidates_text_is_not_in_the_memory_of_the_next(attack: Attack) -> None:
    source = """
import gc
marker = "left-" + "behind"
def attack():
    return [len(item) for item in gc.get_objects() if isinstance(item, dict) and marker in map(str, item.values())]
"""
    plain = source.replace('"left-" + "behind"', '"left-behind"')
    first, second = attack(plain), attack(plain)
    assert first == second == [*first]


def test_the_network_is_out_of_reach(attack: Attack, listener: socket.socket, tmp_path: Path) -> None:
    source = (
        SUCCEEDED
        + """
import ctypes, socket
def attack(port, path):
    libc = ctypes.CDLL(None, use_errno=True)
    def raw(*arguments):
        if libc.syscall(*arguments) < 0:
            raise OSError(ctypes.get_errno(), "refused")
    return succeeded({
        "tcp": lambda: socket.create_connection(("127.0.0.1", port), 1),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
        "tcp6": lambda: socket.socket(socket.AF_INET6),
        "unix": lambda: socket.socket(socket.AF_UNIX).connect(path),
        "pair": lambda: socket.socketpair(),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "name": lambda: socket.getaddrinfo("localhost", port, proto=socket.IPPROTO_TCP) and socket.socket(),
        "raw call": lambda: raw(41, 2, 1, 0),
        "ring": lambda: raw(425, 8, 0),
        "a pipe taken for a socket": lambda: socket.socket(fileno=3).connect(("127.0.0.1", port)),
    })
"""
    )
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        Path(path).chmod(0o777)
        assert attack(source, listener.getsockname()[1], path) == []


PROCESS_ATTACKS = """
import ctypes, os, signal, subprocess, resource, threading
libc = ctypes.CDLL(None, use_errno=True)
def raw(*arguments):
    if libc.syscall(*(ctypes.c_long(argument) for argument in arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def attack(victim):
    parent = os.getppid()
    return succeeded({
        "fork": os.fork,
        "forkpty": os.forkpty,
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "execve": lambda: os.execv("/bin/sh", ["sh", "-c", "true"]),
        "shell": lambda: subprocess.run(["true"]),
        "kill server": lambda: os.kill(parent, 9),
        "kill victim": lambda: os.kill(victim, 9),
        "kill all": lambda: os.kill(-1, 9),
        "kill group": lambda: os.killpg(os.getpgid(parent), 9),
        "stop itself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
        "ask for a signal": lambda: __import__("fcntl").fcntl(4, 8, victim),
        "limits of another": lambda: resource.prlimit(victim, resource.RLIMIT_CPU, (1, 1)),
        "nice another": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
        "less nice": lambda: os.nice(-20),
        "affinity of another": lambda: os.sched_setaffinity(victim, {0}),
        "user": lambda: os.setuid(0),
        "more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
        "memory of another": lambda: raw(310, victim, 0, 0, 0, 0, 0),
        "ptrace attach": lambda: raw(101, 16, parent, 0, 0),
        "ptrace seize": lambda: raw(101, 0x4206, victim, 0, 0),
        "vfork": lambda: raw(58),
        "clone": lambda: raw(56, 17, 0, 0, 0, 0),
        "clone3": lambda: raw(435, 0, 0),
        "queue a signal": lambda: raw(129, victim, 9, 0),
        "thread kill": lambda: raw(234, victim, victim, 9),
        "process descriptor": lambda: raw(434, victim, 0),
        "namespace": lambda: raw(272, 0x10000000),
        "death signal": lambda: raw(157, 1, 0, 0, 0, 0),
        "dumpable": lambda: raw(157, 4, 1, 0, 0, 0),
        "keyring": lambda: raw(250, 0, -4, 0),
        "shared memory": lambda: raw(29, 1, 4096, 0o1600),
        "user faults": lambda: raw(323, 1),
        "bpf": lambda: raw(321, 0, 0, 0),
        "performance events": lambda: raw(298, 0, 0, -1, -1, 0),
    })
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the raw numbers are those of x86_64")
def test_processes_are_out_of_reach(attack: Attack) -> None:
    assert attack(SUCCEEDED + PROCESS_ATTACKS, os.getpid()) == []


@pytest.mark.skipif(platform.machine() not in syscalls.COLUMNS, reason="no filter for this machine")
def test_every_other_system_call_is_refused(attack: Attack) -> None:
    source = """
import ctypes
def attack(allowed):
    libc = ctypes.CDLL(None, use_errno=True)
    passed = []
    # 335 and 336 serve the kernel's own probes, pass by every filter and end the caller
    for number in set(range(700)) - {335, 336, *allowed}:
        if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6) != -1 or ctypes.get_errno() not in (1, 13, 38):
            passed.append((number, ctypes.get_errno()))
    return passed
"""
    assert attack(source, list(syscalls.allowed(platform.machine()).values())) == []


def test_a_fork_bomb_starts_no_process(attack: Attack) -> None:
    with pytest.raises(CandidateError) as caught:
        attack("import os\ndef attack():\n    while True:\n        os.fork()")
    assert (caught.value.kind, caught.value.line) == ("PermissionError", 4)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00" * 16,
        b"\xff" * 64,
        b"forged " * 100,
        (2).to_bytes(8) + (0).to_bytes(8) + b"[]",
        (2).to_bytes(8) + (0).to_bytes(8) + b"{}",
        (2).to_bytes(8) + (9).to_bytes(8) + b"{}" + b"forged..x",
        (20_000).to_bytes(8) + (0).to_bytes(8) + b"[" * 20_000,
        (len(b'{"reply":[]}')).to_bytes(8) + bytes(8) + b'{"reply":[]}',
        (len(b'{"reply":{"value":"\\ud800"}}')).to_bytes(8) + bytes(8) + b'{"reply":{"value":"\\ud800"}}',
    ],
)
def test_forged_frames_on_every_descriptor_are_a_crash(attack: Attack, frame: bytes) -> None:
    source = """
import os
def attack(frame):
    for number in range(3, 64):
        try:
            os.write(number, bytes.fromhex(frame))
        except OSError:
            pass
    os._exit(0)
"""
    with pytest.raises(SandboxCrash):
        attack(source, frame.hex())


def test_a_forged_error_cannot_pass_for_a_fault_of_the_sandbox(attack: Attack) -> None:
    source = """
import json, os
def attack():
    text = json.dumps({"error": {"kind": "SandboxError", "message": "\\x1b[31mnot me", "line": "x"}}).encode()
    os.write(4, len(text).to_bytes(8) + bytes(8) + text)
"""
    with pytest.raises(CandidateError, match="^not me$"):
        attack(source)


def test_only_five_descriptors_are_open(attack: Attack) -> None:
    source = """
import os
def is_open(number):
    try:
        os.fstat(number)
        return True
    except OSError:
        return False
def attack(): return [number for number in range(4096) if is_open(number)]
"""
    assert attack(source) == [0, 1, 2, 3, 4]
