"""The printed front of a run."""

from __future__ import annotations

import json

import pytest

from evolve.errors import UsageError
from evolve.evaluation import Evaluation
from evolve.problem import ObjectiveSpec
from evolve.store.database import Database
from evolve.store.records import ProposalRequest, RunRecord
from evolve.ui.pareto import front_text

OBJECTIVES = {"skill": ObjectiveSpec("right"), "size": ObjectiveSpec("length", "minimize")}


@pytest.fixture
def run(tmp_path):
    """run((right, length), ..., stopped=None): a database with a program of these metrics for each."""
    with Database.create(tmp_path / "r", RunRecord("r", "p", "tiny", {}, {}, 0, "0.1")) as database:

        def add(*programs, stopped=None):
            for right, length in programs:
                number = database.begin_proposal(ProposalRequest(0, 0, "diff", "offline", description="edit"))
                database.set_state(number, "evaluating")
                metrics = {"right": right} | ({} if length is None else {"length": length})
                database.add_evaluation(number, Evaluation(right, metrics, {}, (1.0,)), stopped=stopped, items_total=1)
            return database.connection

        yield add


def test_the_front_minimises_and_leaves_out_partial_evaluations_and_missing_metrics(run):
    run((0.5, 10.0), (0.5, 20.0), (0.9, 30.0), (1.0, None), (0.9, 30.0))
    rows = json.loads(front_text(run((1.0, 1.0), stopped="raced"), OBJECTIVES, "json"))
    assert [(row["id"], row["skill"], row["size"]) for row in rows] == [(3, 0.9, 30.0), (5, 0.9, 30.0), (1, 0.5, 10.0)]


def test_two_maximised_objectives_tell_their_area(run):
    objectives = {"skill": ObjectiveSpec("right"), "length": ObjectiveSpec("length")}
    text = front_text(run((0.5, 10.0)), objectives, "table")
    assert "hypervolume above (0, 0): 5.0000" in text
    assert "edit" in text


def test_a_run_without_an_evaluation_has_no_front(run):
    assert front_text(run(), OBJECTIVES, "table") == "no program has been evaluated yet"
    assert json.loads(front_text(run(), OBJECTIVES, "json")) == []


def test_errors_say_how_to_declare_and_which_metrics_there_are(run):
    with pytest.raises(UsageError, match=r"\[objectives.NAME\]"):
        front_text(run((0.5, 1.0)), {}, "table")
    with pytest.raises(UsageError, match="no program has the metric 'speed'.*there are length, right"):
        front_text(run(), {**OBJECTIVES, "other": ObjectiveSpec("speed")}, "table")
