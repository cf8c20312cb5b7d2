"""The seccomp filter: a list of the system calls that a jailed process may use, hand-assembled as classic BPF.

The default answer is EPERM. It covers what Landlock and user ids leave open (sockets, signals, new processes, tracing,
mounts, kernel interfaces) and repeats, by a second mechanism, that nothing is opened for writing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from evolve.sandbox import syscalls
from evolve.sandbox.kernel import PR_SET_SECCOMP, prctl

_MODE_FILTER = 2
_AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LOAD, _EQUAL, _GREATER, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16

O_TMPFILE_BIT = 0o20000000
WRITING_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | O_TMPFILE_BIT
# pthread_create of glibc and of musl; all other clones make processes or namespaces
THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ; F_SETOWN and F_SETSIG would
# send any signal to any process of the same user
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030, 1031, 1032)
# TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
IOCTL_COMMANDS = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
PRCTL_OPTIONS = (15, 16, 0x53564D41)

Instruction = tuple[int, int, int, int]


def supported() -> bool:
    """Whether there is a filter for this machine."""
    return platform.machine() in _AUDIT_ARCHITECTURES


def assemble(machine: str, *, reading: bool) -> bytes:
    """The filter as an array of ``struct sock_filter``.

    ``reading`` False refuses every opening of files: where Landlock is missing nothing else would keep files private.
    """
    numbers = syscalls.conditional(machine)
    program = [
        _load(_ARCHITECTURE_OFFSET),
        (_EQUAL, 1, 0, _AUDIT_ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        _load(_NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        program += [(_GREATER_EQUAL, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    for number in syscalls.allowed(machine).values():
        program += _on(number, [(_RETURN, 0, 0, _ALLOW)])
    rules = {
        "open": _opening(1) if reading else [_refuse(errno.EACCES)],
        "openat": _opening(2) if reading else [_refuse(errno.EACCES)],
        "fcntl": _one_of(1, FCNTL_COMMANDS),
        "ioctl": _one_of(1, IOCTL_COMMANDS),
        "prctl": _one_of(0, PRCTL_OPTIONS),
        "prlimit64": _one_of(0, (0,)),
        "clone": _one_of(0, THREAD_FLAGS),
        # their arguments lie in memory, which a filter cannot see; libc falls back to clone and openat
        "clone3": [_refuse(errno.ENOSYS)],
        "openat2": [_refuse(errno.ENOSYS)],
    }
    for name, rule in rules.items():
        if name in numbers:
            program += _on(numbers[name], rule)
    program += [(_GREATER, 0, 1, syscalls.LAST_KNOWN), _refuse(errno.ENOSYS), _refuse(errno.EPERM)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def install(program: bytes) -> None:
    """Puts the calling thread and all it starts under the filter for good; needs no-new-privileges."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(pointer))


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _refuse(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _on(number: int, rule: list[Instruction]) -> list[Instruction]:
    """``rule`` for the call ``number``; each rule ends in a return, so the loaded number survives for the next test."""
    return [(_EQUAL, 0, len(rule), number), *rule]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Allows the call when the low 32 bits of an argument (all the kernel looks at in these calls) are one of
    ``values``."""
    rule = [_load(_ARGUMENTS_OFFSET + 8 * argument)]
    for value in values:
        rule += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*rule, _refuse(errno.EPERM)]


def _opening(argument: int) -> list[Instruction]:
    return [
        _load(_ARGUMENTS_OFFSET + 8 * argument),
        (_ANY_BIT, 0, 1, WRITING_FLAGS),
        _refuse(errno.EACCES),
        (_RETURN, 0, 0, _ALLOW),
    ]
