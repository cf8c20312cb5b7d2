from __future__ import annotations

from evolve.config import RunConfig, assignment, update
from evolve.loop.start import worker_setup
from evolve.problem import load
from evolve.resources import folder


def test_workers_are_told_whether_to_measure_provenance():
    problem = load(str(folder("problems") / "circle_packing"))
    without = update(RunConfig(), assignment("evaluation.provenance=false"), "--set")
    assert worker_setup(problem, RunConfig(), None)["provenance"] is True
    assert worker_setup(problem, without, None)["provenance"] is False
