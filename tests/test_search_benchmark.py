"""The parts of benchmarks/search.py that make no run."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("search", "search_report", "search_runs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import search
    import search_report
    import search_runs

    return search, search_report, search_runs


def result(runs, strategy, seed, test, budget=200, problem="skills"):
    return runs.Result(
        strategy, problem, 0, seed, budget, search=0.8, validation=0.7, test=test, outcomes="0110",
        curve=(0.1, 0.5, 0.8), items=400, run_s=1.0, commit="abc", date="2026-01-01",
    )  # fmt: skip


def test_differences_are_paired_by_problem_zoo_and_seed(parts):
    _, report, runs = parts
    results = [result(runs, "evolve", seed, 0.8 + seed / 10) for seed in (0, 1)]
    results += [result(runs, "genome", seed, 0.5) for seed in (1, 2)]
    results.append(result(runs, "genome", 0, 0.1, budget=1000))
    assert report.differences(results, "genome", 200) == pytest.approx([0.4])


def test_the_interval_is_students(parts):
    low, high = parts[1].interval([0.1, 0.2, 0.3])
    assert (low, high) == (pytest.approx(0.2 - 4.3027 * 0.1 / math.sqrt(3), abs=1e-4), pytest.approx(0.4484, abs=1e-4))
    assert parts[1].interval([0.1]) == (-math.inf, math.inf)


def test_tables_and_curves_come_from_the_data_file_alone(parts, tmp_path):
    _, report, runs = parts
    file = tmp_path / "search.jsonl"
    made = [result(runs, name, seed, test) for seed in (0, 1) for name, test in (("evolve", 0.9), ("genome", 0.6))]
    for one in made:
        runs.store(file, one)
    assert runs.load(file) == made
    text = report.tables(runs.load(file), [200, 1000])
    assert "| genome | 2 | 0.800 | 0.700 | 0.600 | +0.300 [+0.300, +0.300] |" in text
    assert "1000 evaluations" not in text, "nothing was run"
    (picture,) = report.curves(made, tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_only_missing_runs_are_made(parts):
    search, _, runs = parts
    options = argparse.Namespace(seeds=[0, 1], zoos=[0], problems=["skills"], strategies=["evolve"], budgets=[200])
    done = [result(runs, "evolve", 0, 0.9)]
    assert [case.seed for case, _ in search.wanted(options, done)] == [1]
    options.budgets = [200, 1000]
    assert [case.seed for case, _ in search.wanted(options, done)] == [0, 1], "to be extended"
    longer = dataclasses.replace(done[0], budget=1000)
    assert [case.seed for case, _ in search.wanted(options, [*done, longer])] == [1]


def test_another_zoo_is_a_copy_of_the_problem(parts, tmp_path):
    _, _, runs = parts
    assert runs.problem_with_zoo("skills", 0, tmp_path) == runs.shipped("problems") / "skills"
    copy = runs.problem_with_zoo("skills", 3, tmp_path)
    assert "zoo_seed = 3\n" in (copy / "problem.toml").read_text("utf-8")
    assert (copy / "evaluate.py").exists()
