"""The jail: everything a forked process gives up before it sees a line of program text.

The fork server builds one Jail and finds out which layers the kernel offers. From then on each of them is required: a
child in which one fails does not run. Covered: files, network, other processes, kernel interfaces, memory, CPU,
descriptors, threads. Not covered: that a path exists (``stat`` is not restricted), timing side channels, and kernel
bugs behind the system calls that stay allowed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import signal
import site
import sys
import sysconfig
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.errors import SandboxError
from evolve.sandbox import kernel, landlock, seccomp

LAYERS = ("uid", "landlock", "seccomp")
UID_BASE, UID_SPAN = 0x70000000, 1 << 22
"""User id of a child: the base plus its process id, so that no two live children share one."""

ADDRESS_SLACK_BYTES = 2**30
"""Address space beyond ``memory_bytes``: thread stacks and allocator arenas reserve it without using it."""
REPORT_BYTES = 16 * 2**20
"""Memory kept back so that a process that ran out of it can still say so."""
OTHER_TASKS_HEADROOM = 256
NICENESS = 10

_CHECKED_BITS = {"uid": 1, "landlock": 2, "seccomp": 4}
_SYSTEM_PATHS = (
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/localtime",
    "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu",
)  # fmt: skip


@dataclass(frozen=True)
class Confinement:
    """What one child is held to; sent by the client with each order."""

    cpu_s: int | None
    memory_bytes: int
    threads: int
    descriptors: int


class Jail:
    """Made in the fork server; ``enter`` is called in the child. ``without`` leaves layers out (for tests)."""

    def __init__(self, folders: Sequence[Path], without: Collection[str] = ()) -> None:
        self.landlock_abi = 0 if "landlock" in without else landlock.abi()
        self.ruleset = -1
        if self.landlock_abi:
            self.ruleset = landlock.make_ruleset(readable_paths(folders), self.landlock_abi)
        self.filter = b""
        if seccomp.supported() and "seccomp" not in without:
            self.filter = seccomp.assemble(platform.machine(), reading=self.landlock_abi > 0)
        self.uids = None if "uid" in without else uid_range()
        self._tasks_counted = (0.0, 0)
        held = self._try_layers()
        if not held["uid"]:
            self.uids = None
        if not held["seccomp"]:
            self.filter = b""
        if not held["landlock"] and self.landlock_abi:
            raise SandboxError(
                f"Landlock ABI {self.landlock_abi} is announced but refused; is another sandbox in the way?"
            )

    def _try_layers(self) -> dict[str, bool]:
        """Which layers really work, tried one by one in a child that then goes away."""
        process = os.fork()
        if process == 0:
            bits = 0
            with contextlib.suppress(OSError):
                if self.uids is not None:
                    self._change_user()
                    bits |= _CHECKED_BITS["uid"]
            with contextlib.suppress(OSError):
                kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
                if self.landlock_abi:
                    landlock.restrict_self(self.ruleset, self.landlock_abi)
                    bits |= _CHECKED_BITS["landlock"]
            with contextlib.suppress(OSError):
                if self.filter:
                    seccomp.install(self.filter)
                    bits |= _CHECKED_BITS["seccomp"]
            os._exit(bits)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return {name: code >= 0 and bool(code & bit) for name, bit in _CHECKED_BITS.items()}

    def task_limit(self, threads: int) -> int | None:
        """RLIMIT_NPROC for a child; None where it would not count. Computed in the server, before the fork."""
        if self.uids is not None:
            return threads
        if os.getuid() == 0:
            return None
        # an ordinary user's limit counts all that user runs, so it starts from there
        counted_at, tasks = self._tasks_counted
        if not counted_at or time.monotonic() - counted_at > 5:
            tasks = tasks_of(os.getuid())
            self._tasks_counted = (time.monotonic(), tasks)
        return tasks + OTHER_TASKS_HEADROOM

    def enter(self, confinement: Confinement, task_limit: int | None, server: int) -> None:
        """Gives everything up, for good. Raises OSError when a layer fails; the caller must then exit."""
        os.nice(NICENESS)
        with contextlib.suppress(OSError):
            # when the machine itself runs out of memory, this process goes first
            Path("/proc/self/oom_score_adj").write_text("1000")
        limit_resources(confinement, task_limit)
        if self.uids is not None:
            self._change_user()
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        # a change of user clears the death signal, so it is asked for after that; the server may be gone already
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        if self.landlock_abi:
            landlock.restrict_self(self.ruleset, self.landlock_abi)
            os.close(self.ruleset)
        if self.filter:
            seccomp.install(self.filter)

    def _change_user(self) -> None:
        assert self.uids is not None
        base, span = self.uids
        user = base + os.getpid() % span
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def limit_resources(confinement: Confinement, task_limit: int | None) -> None:
    """Sets the rlimits of this process, soft and hard, counting memory from what it uses now."""
    pages = [int(field) * resource.getpagesize() for field in Path("/proc/self/statm").read_text().split()]
    address_bytes, data_bytes = pages[0], pages[5]
    limits = {
        resource.RLIMIT_AS: address_bytes + confinement.memory_bytes + ADDRESS_SLACK_BYTES + REPORT_BYTES,
        resource.RLIMIT_NOFILE: confinement.descriptors,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    if task_limit is not None:
        limits[resource.RLIMIT_NPROC] = task_limit
    for kind, value in limits.items():
        _limit(kind, value, value)
    data_bytes += confinement.memory_bytes
    _limit(resource.RLIMIT_DATA, data_bytes, data_bytes + REPORT_BYTES)
    if confinement.cpu_s is not None:
        # the signal at the soft limit can be ignored, the kill one second later cannot
        _limit(resource.RLIMIT_CPU, confinement.cpu_s, confinement.cpu_s + 1)
    _, stack = resource.getrlimit(resource.RLIMIT_STACK)
    _limit(resource.RLIMIT_STACK, 8 * 2**20, 8 * 2**20 if stack == resource.RLIM_INFINITY else min(stack, 8 * 2**20))


def _limit(kind: int, soft: int, hard: int) -> None:
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:
        hard = min(hard, ceiling)
    resource.setrlimit(kind, (min(soft, hard), hard))


def allow_report() -> None:
    """After a MemoryError: opens the memory that was kept back for reporting it."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def readable_paths(folders: Sequence[Path]) -> list[Path]:
    """What a child may read: the interpreter's modules and libraries, this package, and ``folders``.

    The folder that holds the package is not in it: in a checkout that is the whole repository.
    """
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {*site.getsitepackages(), *_SYSTEM_PATHS, str(Path(__file__).resolve().parent.parent)}
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        places |= {f"{prefix}/lib", f"{prefix}/lib64"}
    return sorted({Path(place).resolve() for place in places} | {folder.resolve() for folder in folders})


def uid_range() -> tuple[int, int] | None:
    """First user id and number of ids that children may take; None when this process cannot change to them."""
    needed = 1 << kernel.CAP_KILL | 1 << kernel.CAP_SETGID | 1 << kernel.CAP_SETUID
    if os.getuid() != 0 or kernel.effective_capabilities() & needed != needed:
        return None
    rows = [[int(field) for field in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    if any(first <= UID_BASE and first + count >= UID_BASE + UID_SPAN for first, _, count in rows):
        return UID_BASE, UID_SPAN
    # inside a user namespace only some ids exist: the upper half of the largest range
    first, _, count = max(rows, key=lambda row: row[2])
    return (first + count // 2, count // 2) if count >= 1024 else None


def tasks_of(user: int) -> int:
    """How many processes and threads a user runs now."""
    tasks = 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == user:
                tasks += int(Path(entry.path, "stat").read_text().rpartition(")")[2].split()[17])
    return tasks


def confinement_of(data: dict[str, Any]) -> Confinement:
    """Reads the confinement out of an order."""
    return Confinement(**{name: data[name] for name in Confinement.__dataclass_fields__})
