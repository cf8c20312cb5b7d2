from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from evolve.errors import CandidateError, EvaluatorError, SandboxCrash, SandboxTimeout
from evolve.sandbox import Program, Sandbox, program_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with program_sandbox() as sandbox:
        yield sandbox


def test_functions_are_called_with_data_and_arrays_in_one_warm_process(sandbox: Sandbox) -> None:
    source = """
import numpy as np
calls = 0
def scaled(points, factor, *, shift=0.0):
    global calls
    calls += 1
    points *= factor
    return {"points": points + shift, "calls": calls, "pair": (1, np.float64(0.5))}
"""
    with Program(sandbox, source) as program:
        assert program.functions == ["scaled"]
        first = program.call("scaled", np.ones((2, 2)), 3, shift=1.0)
        np.testing.assert_array_equal(first["points"], np.full((2, 2), 4.0))
        assert (first["calls"], first["pair"]) == (1, [1, 0.5])
        assert program.call("scaled", np.ones(1), 1)["calls"] == 2


def test_scipy_and_much_of_the_standard_library_can_be_imported(sandbox: Sandbox) -> None:
    source = """
import dataclasses, functools, heapq, itertools, json, math, random, statistics, typing
import numpy as np
from scipy.optimize import linprog, minimize, differential_evolution
from scipy.spatial import ConvexHull
from scipy.stats import norm

@dataclasses.dataclass
class Point:
    x: float

def solve():
    low = minimize(lambda x: (x[0] - 2) ** 2, [0.0], method="SLSQP").x[0]
    line = linprog([1.0], A_ub=[[-1.0]], b_ub=[-3.0]).x[0]
    hull = ConvexHull(np.random.default_rng(0).random((20, 2))).volume
    return [round(low, 3), round(line, 3), hull > 0, round(float(norm.cdf(0)), 3), Point(1.0).x]
"""
    with Program(sandbox, source) as program:
        assert program.call("solve") == [2.0, 3.0, True, 0.5, 1.0]


def test_random_numbers_are_the_same_in_each_process(sandbox: Sandbox) -> None:
    source = "import random, numpy\ndef f(): return random.random(), numpy.random.rand(), list({'a', 'b', 'c', 'd'})"
    replies = [sandbox.run({"source": source, "function": "f"})[0] for _ in range(2)]
    assert replies[0] == replies[1]


@pytest.mark.parametrize(
    ("source", "kind", "message", "line"),
    [
        ("def f():\n    return {}['a']", "KeyError", "'a'", 2),
        ("def f(:", "SyntaxError", "invalid syntax", 1),
        ("x = 1\nundefined", "NameError", "name 'undefined' is not defined", 2),
        ("def f():\n    return {1, 2}", "TypeError", "f() is of type set; allowed are None", None),
        ("def f(x): pass", "TypeError", "missing 1 required positional argument", None),
        ("import json\ndef f():\n    return json.loads('[')", "JSONDecodeError", "Expecting value", 3),
        ("import no_such_thing", "ModuleNotFoundError", "No module named 'no_such_thing'", 1),
        ("def g(): pass", "CandidateError", "the program defines no function 'f'", None),
        ("f = 3", "CandidateError", "the program defines no function 'f'", None),
        ("\x00", "SyntaxError", "null bytes", None),
    ],
)
def test_faults_of_a_program(sandbox: Sandbox, source: str, kind: str, message: str, line: int | None) -> None:
    with pytest.raises(CandidateError) as caught:
        sandbox.run({"source": source, "function": "f"})
    assert caught.value.kind == kind
    assert message in str(caught.value)
    assert caught.value.line == line


def test_arguments_must_be_plain_data(sandbox: Sandbox) -> None:
    with Program(sandbox, "def f(x): return x") as program:
        with pytest.raises(EvaluatorError, match=r"cannot call f\(\): .* of type object"):
            program.call("f", object())
        assert program.call("f", [None, True, -1, 2.5, "é", {"a": []}]) == [None, True, -1, 2.5, "é", {"a": []}]


def test_a_timed_out_program_is_over(sandbox: Sandbox) -> None:
    with Program(sandbox, "def f():\n    while True: pass") as program:
        with pytest.raises(SandboxTimeout):
            program.call("f", timeout_s=0.1)
        assert not program.alive
        with pytest.raises(SandboxCrash, match="this session has ended"):
            program.call("f")


@pytest.mark.parametrize(
    "text",
    ['{"reply":{}}', '{"reply":{"value":{"__array__":"a7"}}}', '{"reply":{"value":[{"__array__":{}}]}}'],
)
def test_forged_values_are_a_crash(sandbox: Sandbox, text: str) -> None:
    source = f"import os\ndef f():\n    t = {text!r}.encode()\n    os.write(4, len(t).to_bytes(8) + bytes(8) + t)"
    with Program(sandbox, source) as program, pytest.raises(SandboxCrash, match="malformed reply"):
        program.call("f")


def test_a_reply_written_in_advance_ends_the_session(sandbox: Sandbox) -> None:
    source = "import os, threading\ndef f():\n    os.write(4, b'x' * 100)\n    return 1"
    with Program(sandbox, source) as program:
        with pytest.raises(SandboxCrash):
            program.call("f")
        assert not program.alive


def test_an_entry_with_no_source_says_so(sandbox: Sandbox) -> None:
    with pytest.raises(CandidateError, match="send its source first"):
        sandbox.run({"function": "f"})
