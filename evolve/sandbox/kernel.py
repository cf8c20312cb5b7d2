"""The few Linux calls that Python does not offer."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7

# These numbers are the same on every architecture: they were added after the tables were unified.
SYS_CLOSE_RANGE = 436

_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    """``prctl(2)``; raises OSError."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(_libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)), f"prctl({option})")


def syscall(number: int, *arguments: int) -> int:
    """``syscall(2)`` with integers and addresses; raises OSError."""
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    return _checked(result, f"syscall({number})")


def close_from(lowest: int) -> None:
    """Closes every descriptor from ``lowest`` up."""
    try:
        syscall(SYS_CLOSE_RANGE, lowest, 0xFFFFFFFF, 0)
    except OSError:
        # kernels before 5.9; the folder is read before anything is closed
        for entry in list(Path("/proc/self/fd").iterdir()):
            if int(entry.name) >= lowest:
                os.closerange(int(entry.name), int(entry.name) + 1)


def effective_capabilities() -> int:
    """Bit set of this process's effective capabilities."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def drop_capabilities() -> None:
    """Gives up every capability of this process for good (it may have inherited some without being root)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(header, empty), "capset")
