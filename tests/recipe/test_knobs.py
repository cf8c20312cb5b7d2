"""Knobs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evolve.errors import RecipeError
from evolve.recipe import Knob, knob
from evolve.recipe.knobs import recording


def test_a_knob_is_its_value():
    assert knob("a", 1, low=0, high=2) == 1.0
    assert knob("wide", (0, 1), low=0, high=2) == [0.0, 1.0]


def test_knobs_are_recorded_only_inside_the_block():
    with recording() as knobs:
        knob("a", 0.5, low=0, high=1)
        knob("a", 0.5, low=0, high=1)
        knob("b", [0.5], low=-1, high=1)
    knob("c", 0.5, low=0, high=1)
    assert list(knobs.values()) == [Knob("a", 0.5, 0.0, 1.0), Knob("b", (0.5,), -1.0, 1.0)]
    assert knobs["b"].to_dict() == {"name": "b", "value": [0.5], "low": -1.0, "high": 1.0}


@pytest.mark.parametrize(
    ("name", "value", "low", "high", "text"),
    [
        ("a", 2, 0, 1, "2.0 is outside 0.0..1.0"),
        ("a", [0.5, 3], 0, 1, "3.0 is outside"),
        ("a", [], 0, 1, "at least one"),
        ("a", 0.5, 1, 0, "must be below"),
        ("a", float("nan"), 0, 1, "not a finite number"),
        ("a", True, 0, 1, "not a finite number"),
        ("a", "1", 0, 1, "not a finite number"),
        ("", 0.5, 0, 1, "must be its name"),
    ],
)
def test_wrong_knobs(name, value, low, high, text):
    with pytest.raises(RecipeError, match=text):
        knob(name, value, low=low, high=high)


def test_one_name_has_one_number():
    with recording():
        knob("a", 0.5, low=0, high=1)
        with pytest.raises(RecipeError, match="used twice"):
            knob("a", 0.6, low=0, high=1)


def test_knobs_import_without_torch():
    code = "import sys, evolve.recipe; evolve.recipe.knob('a', 1, low=0, high=2); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
