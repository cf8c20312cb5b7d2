"""Hostile programs that use up memory, time, threads, descriptors or output: all are stopped, and for the right
reason."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolve.errors import CandidateError, SandboxCrash, SandboxMemory, SandboxTimeout
from evolve.sandbox import Program, Sandbox, SandboxLimits
from evolve.sandbox.program import ENTRY

Attack = Callable[..., Any]


def test_a_thread_bomb_ends_at_the_limit(attack: Attack) -> None:
    source = """
import threading
started = []
def attack():
    while True:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        started.append(1)
"""
    with pytest.raises(CandidateError, match="can't start new thread") as caught:
        attack(source)
    assert caught.value.kind == "RuntimeError"


def test_threads_left_running_die_with_the_process(attack: Attack) -> None:
    source = """
import os, threading
def spin():
    while True:
        pass
def attack():
    for _ in range(3):
        threading.Thread(target=spin).start()
    return os.getpid()
"""
    assert not Path(f"/proc/{attack(source)}").exists()


MEMORY_ATTACKS = {
    "one block": "def attack(): return len(bytearray(10 * 2**30))",
    "array": "import numpy\ndef attack(): return numpy.ones(10 * 2**27).sum()",
    "piece by piece": "def attack():\n    kept = []\n    while True: kept.append(bytearray(2**20))",
    "small objects kept in a global": "kept = []\ndef attack():\n    while True: kept.append([len(kept)])",
    "long text": "def attack(): return 'x' * 10**10",
    "huge integer": "def attack(): return len(str(1 << 10**11))",
    "recursion": "def attack(): return attack()",
}


@pytest.mark.parametrize("name", MEMORY_ATTACKS)
def test_lack_of_memory_is_reported(attack: Attack, name: str) -> None:
    with pytest.raises(SandboxMemory):
        attack(MEMORY_ATTACKS[name])


@pytest.mark.parametrize(
    "source",
    [
        "import mmap\ndef attack(): mmap.mmap(-1, 10 * 2**30)",
        "import mmap\nkept = []\ndef attack():\n    while True: kept.append(mmap.mmap(-1, 2**26))",
    ],
)
def test_shared_mappings_are_bounded_too(attack: Attack, source: str) -> None:
    with pytest.raises(CandidateError, match="Cannot allocate memory"):
        attack(source)


ENDLESS = {
    "python": "def attack():\n    while True: pass",
    "regular expression": "import re\ndef attack(): re.match('(a+)+$', 'a' * 50 + 'b')",
    "integer": "def attack(): return pow(7, 10**9)",
    "sleep": "import time\ndef attack(): time.sleep(10**6)",
    "catches everything": (
        "def attack():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    ),
    "at import": "while True: pass",
    "in the text of an exception": (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef attack(): raise E"
    ),
    "ignores signals": (
        "import signal\nfor number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, signal.SIG_IGN)\ndef attack():\n    while True: pass"
    ),
    "half a reply": "import os\ndef attack():\n    os.write(4, bytes(8))\n    while True: pass",
    "one byte at a time": (
        "import os, time\ndef attack():\n    os.write(4, (10000).to_bytes(8) + bytes(8))\n"
        "    while True:\n        os.write(4, b' ')\n        time.sleep(0.001)"
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_programs_are_stopped(attack: Attack, name: str) -> None:
    with pytest.raises(SandboxTimeout, match="no answer within 0.2 s"):
        attack(ENDLESS[name], timeout_s=0.2)


@pytest.mark.parametrize("prepare", ["", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"])
def test_cpu_time_is_bounded(prepare: str) -> None:
    request = {"source": prepare + "def attack():\n    while True: pass", "function": "attack"}
    with (
        Sandbox(ENTRY, limits=SandboxLimits(cpu_s=1, wall_s=60)) as sandbox,
        pytest.raises(SandboxTimeout, match="more than 1 s of CPU time"),
    ):
        sandbox.run(request)


def test_cpu_time_of_a_session_is_bounded_by_its_calls() -> None:
    source = """
import hashlib, threading
block = bytes(2**22)
def work():
    # hashing releases the interpreter, so that several threads use several cores
    while True:
        hashlib.sha256(block).digest()
def attack(threads):
    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
    work()
"""
    limits = SandboxLimits(cpu_s=1, wall_s=60)
    with Sandbox(ENTRY, ("hashlib",), limits) as sandbox, Program(sandbox, source) as program:
        began = time.monotonic()
        with pytest.raises(SandboxTimeout, match="more than 1 s of CPU time"):
            program.call("attack", 3)
        assert time.monotonic() - began < 30
        with pytest.raises(SandboxCrash, match="has ended"):
            program.call("attack", 3)


def test_standard_output_goes_nowhere(attack: Attack, capfd: pytest.CaptureFixture[str]) -> None:
    source = """
import os, sys
def attack():
    for _ in range(20):
        print("x" * 10**6)
        print("y" * 10**6, file=sys.stderr)
        for number in (0, 1, 2):
            try:
                os.write(number, b"z" * 10**6)
            except OSError:
                pass
    return sys.stdin.read()
"""
    assert attack(source) == ""
    assert capfd.readouterr() == ("", "")


def test_descriptors_run_out(attack: Attack) -> None:
    source = """
import os
def attack():
    number = 0
    try:
        while True:
            os.pipe()
            number += 2
    except OSError as error:
        return number, error.errno
"""
    number, error = attack(source)
    assert number < 64
    assert error == 24


def test_native_stack_overflow_is_a_crash(attack: Attack) -> None:
    source = """
import sys
sys.setrecursionlimit(10**9)
class Endless:
    def __repr__(self): return repr([self])
def attack(): return repr(Endless())
"""
    with pytest.raises((SandboxCrash, SandboxMemory)):
        attack(source)


def test_messages_are_bounded_and_cleaned(attack: Attack) -> None:
    with pytest.raises(CandidateError) as caught:
        attack("def attack(): raise ValueError('\\x1b[2J\\x1b]0;title\\x07evil\\n' + 'A' * 10**8)")
    message = str(caught.value)
    assert len(message) == 500
    assert re.fullmatch("evil A+…", message)


@pytest.mark.parametrize(
    "text",
    ["raise Strange", "return 1 / Strange()", "raise type('\\x1b[31m' + 'K' * 9999, (Exception,), {})('\\ud800')"],
)
def test_strange_exceptions_are_still_candidate_errors(attack: Attack, text: str) -> None:
    source = f"""
class Strange(Exception):
    line = property(lambda self: 1 / 0)
    def __str__(self): raise SystemExit
    def __getattribute__(self, name): raise KeyboardInterrupt
    __class__ = property(lambda self: int)
    def __rtruediv__(self, other): raise self
def attack(): {text}
"""
    with pytest.raises(CandidateError) as caught:
        attack(source)
    assert str(caught.value).isprintable()
    assert len(caught.value.kind) <= 80
