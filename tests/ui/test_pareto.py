"""The printed front of a run."""

from __future__ import annotations

import json

import pytest

from evolve.errors import UsageError
from evolve.problem import ObjectiveSpec
from evolve.ui.pareto import front_text

OBJECTIVES = {"skill": ObjectiveSpec("right"), "size": ObjectiveSpec("length", "minimize")}


def program(number, right, length, stopped=None):
    metrics = {"right": right, "length": length}
    return {"id": number, "score": right, "metrics": metrics, "stopped": stopped, "description": f"program {number}"}


def test_the_front_minimises_and_leaves_out_partial_evaluations():
    programs = [program(1, 0.5, 10.0), program(2, 0.5, 20.0), program(3, 0.9, 30.0), program(4, 1.0, 1.0, "raced")]
    rows = json.loads(front_text(programs, OBJECTIVES, 1.0, "json"))
    assert [(row["id"], row["skill"], row["size"]) for row in rows] == [(1, 0.5, 10.0), (3, 0.9, 30.0)]


def test_two_maximised_objectives_tell_their_area():
    objectives = {"skill": ObjectiveSpec("right"), "length": ObjectiveSpec("length")}
    assert "hypervolume above (0, 0): 5.0000" in front_text([program(1, 0.5, 10.0)], objectives, 1.0, "table")


def test_errors_say_how_to_declare_and_which_metrics_there_are():
    with pytest.raises(UsageError, match=r"\[objectives.NAME\]"):
        front_text([program(1, 0.5, 1.0)], {}, 1.0, "table")
    with pytest.raises(UsageError, match="there are length, right"):
        front_text([program(1, 0.5, 1.0)], {**OBJECTIVES, "other": ObjectiveSpec("speed")}, 1.0, "table")
