"""Landlock: which files a process may open, decided by the kernel.

Constants and structures are those of ``linux/landlock.h``; the newest ABI used here is 7. The rule set is made once by
the fork server, which may still open everything; a child only enters it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from evolve.sandbox.kernel import syscall

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
RESTRICT_SELF_LOG_SAME_EXEC_OFF = 1

READ_FILE, READ_DIR = 1 << 2, 1 << 3
ALL_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every right that an ABI knows is handled, so that each is denied unless a rule grants it."""
ALL_NETWORK_RIGHTS = 0b11
ALL_SCOPES = 0b11


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The kernel's Landlock ABI; 0 where it is missing, switched off or forbidden."""
    try:
        return syscall(SYS_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION)
    except OSError:
        return 0


def make_ruleset(readable: Iterable[Path], version: int) -> int:
    """Descriptor of a rule set that grants reading below ``readable`` and nothing else."""
    attributes = _RulesetAttributes(
        files=ALL_FILE_RIGHTS[min(version, max(ALL_FILE_RIGHTS))],
        network=ALL_NETWORK_RIGHTS if version >= 4 else 0,
        scoped=ALL_SCOPES if version >= 6 else 0,
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall(SYS_CREATE_RULESET, ctypes.addressof(attributes), size, 0)
    for path in readable:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            _grant_reading(ruleset, path)
    return ruleset


def _grant_reading(ruleset: int, path: Path) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(READ_FILE | READ_DIR if path.is_dir() else READ_FILE, folder)
        syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(folder)


def restrict_self(ruleset: int, version: int) -> None:
    """Enters the rule set for good; needs no-new-privileges. Denials do not fill the kernel's audit log (ABI 7)."""
    syscall(SYS_RESTRICT_SELF, ruleset, RESTRICT_SELF_LOG_SAME_EXEC_OFF if version >= 7 else 0)
