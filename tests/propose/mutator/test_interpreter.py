from __future__ import annotations

import ast
import time

import pytest

from evolve.propose.mutator.interpreter import Interpreter, Unsupported


def value(text, name="f", **arguments):
    return Interpreter(ast.parse(text), {"native": lambda x: x + 1}).call(name, arguments)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 2 * x - 1", 5),
        ("y = [x, 2][0]\n    y += 1\n    return y if y > 3 else 0", 4),
        ("a, b = (x, 5)\n    return native(a) + max(b, 1)", 9),
        ("total = 0\n    for i in range(4):\n        total += i\n    return total", 6),
        ("return ('a', 'b').index('b')", 1),
        ("return {'u': 7}['u']", 7),
        ("return sum([i * i for i in [1, 2, 3]])", 14),
        ("if not x or x == 9:\n        return 1\n    elif 1 < x <= 3:\n        return 2\n    return 3", 2),
        ("return x ** 2", 9.0),
        ("return [1, 2, 3][1:][0]", 2),
        ("return math.sqrt(16) + helper(x)", 14.0),
    ],
)
def test_simple_code(body, expected):
    text = f"import math\ndef helper(y, z=7):\n    return y + z\ndef f(x):\n    {body}\n"
    assert value(text, x=3) == expected


@pytest.mark.parametrize(
    "body",
    [
        "return x.__class__",
        "return open('f')",
        "return __import__('os')",
        "return 'a' * 9",
        "return [1] * 10000",
        "while True:\n        pass",
        "return f(x)",
        "return (lambda: 1)()",
        "import os",
        "return sum([[1], [2]], [])",
        "y = 3\n    for i in range(500):\n        y = y * y\n    return y",
        "for i in range(10 ** 9):\n        pass",
        "return range(1000000)",
        "for i in range(500):\n        for j in range(500):\n            x = x + 1",
    ],
)
def test_anything_else_is_refused_at_once(body):
    started = time.monotonic()
    with pytest.raises((Unsupported, TypeError)):
        value(f"def f(x):\n    {body}\n", x=3)
    assert time.monotonic() - started < 20
