"""The filter's answers, worked out by an interpreter of classic BPF, for both machines; test_hostile asks the real
kernel."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from evolve.sandbox import seccomp, syscalls

ALLOW, KILL = "allow", "kill"


def answer(
    machine: str, number: int, *arguments: int, reading: bool = True, architecture: int | None = None
) -> str | int:
    """What the kernel would do: allow, kill, or the error number."""
    architectures = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<iIQ6Q", number, architecture or architectures[machine], 0, *padded)
    code = seccomp.assemble(machine, reading=reading)
    program = [struct.unpack_from("=HBBI", code, offset) for offset in range(0, len(code), 8)]
    accumulator = position = 0
    while True:
        operation, when_true, when_false, value = program[position]
        position += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x06:
            if value >> 16 == 0x5:
                return value & 0xFFFF
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}[value]
        else:
            test = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[operation]
            position += when_true if test else when_false


both = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


@both
def test_listed_calls_are_allowed_and_all_others_refused(machine: str) -> None:
    allowed = set(syscalls.allowed(machine).values())
    conditional = set(syscalls.conditional(machine).values())
    assert not allowed & conditional
    for number in range(600):
        result = answer(machine, number)
        if number in allowed:
            assert result == ALLOW
        elif number not in conditional:
            assert result == (errno.EPERM if number <= syscalls.LAST_KNOWN else errno.ENOSYS)


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [
        # socket, connect, bind, sendmsg, ptrace, process_vm_readv, kill, tgkill, mount, unshare, setns, bpf,
        # perf_event_open, keyctl, io_uring_setup, userfaultfd, execve, execveat, memfd_create, pidfd_open,
        # pidfd_send_signal, fork, vfork
        (
            "x86_64",
            "41 42 49 46 101 310 62 234 165 272 308 321 298 250 425 323 59 322 319 434 424 57 58",
        ),
        ("aarch64", "198 203 200 211 117 270 129 131 40 97 268 280 241 219 425 282 221 281 279 434 424"),
    ],
)
def test_dangerous_calls_are_refused(machine: str, numbers: str) -> None:
    for number in map(int, numbers.split()):
        assert answer(machine, number) == errno.EPERM, number


@both
def test_threads_but_no_processes(machine: str) -> None:
    clone, clone3 = (syscalls.conditional(machine)[name] for name in ("clone", "clone3"))
    assert answer(machine, clone, 0x3D0F00) == ALLOW
    for flags in (17, 0x4000 | 0x100, 0x3D0F00 | 0x10000000, 0x10000, 0):
        assert answer(machine, clone, flags) == errno.EPERM
    assert answer(machine, clone3) == errno.ENOSYS


@both
def test_nothing_is_opened_for_writing(machine: str) -> None:
    openat = syscalls.conditional(machine)["openat"]
    assert answer(machine, openat, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, 3, 0o20000000, os.O_CREAT | os.O_EXCL):
        assert answer(machine, openat, 0, 0, flags) == errno.EACCES
    assert answer(machine, openat, 0, 0, os.O_RDONLY, reading=False) == errno.EACCES


@both
def test_arguments_that_reach_other_processes(machine: str) -> None:
    numbers = syscalls.conditional(machine)
    assert answer(machine, numbers["prlimit64"], 0) == ALLOW
    assert answer(machine, numbers["prlimit64"], 1234) == errno.EPERM
    assert answer(machine, numbers["fcntl"], 3, 3) == ALLOW
    for command in (8, 10, 15, 1024):  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE
        assert answer(machine, numbers["fcntl"], 3, command) == errno.EPERM
    for option in (1, 4, 22, 38, 0x59616D61):  # death signal, dumpable, seccomp, no-new-privileges, PR_SET_PTRACER
        assert answer(machine, numbers["prctl"], option) == errno.EPERM
    assert answer(machine, numbers["ioctl"], 0, 0x5412) == errno.EPERM  # TIOCSTI


def test_other_instruction_sets_have_no_way_in() -> None:
    assert answer("x86_64", 1, architecture=0x40000003) == KILL
    assert answer("x86_64", 0x40000000 | 1) == errno.ENOSYS
    assert answer("aarch64", 64, architecture=0x40000028) == KILL
