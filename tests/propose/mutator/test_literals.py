from __future__ import annotations

import libcst as cst

from evolve.propose.mutator.literals import find_constants, find_knobs, knob_values, set_knobs

TEXT = """a = knob("a", -0.5, low=-1, high=1)   # keep
b = recipe.knob("b", [0.1, 2.], low=0.0, high=2.0)
n = knob("n", 4, low=1, high=9)
c = knob("c", other, low=0.0, high=1.0)
d = knob("d", 0.5, low=1.0, high=1.0)
def f(x):
    return x[0] * 0.25 + range(3)[1] - 7
"""


def test_knobs_are_read():
    knobs = find_knobs(cst.parse_module(TEXT))
    assert {name: knob.values for name, knob in knobs.items()} == {"a": (-0.5,), "b": (0.1, 2.0), "n": (4.0,)}
    assert knobs["b"].wide and not knobs["a"].wide
    assert knobs["n"].range.integer and not knobs["a"].range.integer


def test_only_the_literals_change():
    tree = set_knobs(cst.parse_module(TEXT), {"a": (0.25,), "b": (0.5, -0.0), "n": (7.0,)})
    assert tree.code == TEXT.replace("-0.5", "0.25").replace("[0.1, 2.]", "[0.5, -0.0]").replace('"n", 4', '"n", 7')


def test_constants_are_amounts_only():
    tree = cst.parse_module(TEXT)
    assert [node.value for node in find_constants(tree)] == ["0.25"]
    assert [node.value for node in find_constants(tree, integers=True)] == ["0", "0.25", "1", "7"]


def test_values_of_a_whole_program():
    assert knob_values(TEXT) == {"a": (-0.5,), "b": (0.1, 2.0), "n": (4.0,), "d": (0.5,)}
    assert knob_values("def (") == {}
