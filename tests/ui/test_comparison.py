"""The winner against its rivals, from databases of two small runs."""

from __future__ import annotations

import pytest

from evolve.evaluation import Evaluation
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import Cell, ProposalRequest, RunRecord
from evolve.ui.comparison import chance_lines, comparison_lines


def config(strategy, evaluations=3):
    inner = {"search": {"strategy": strategy}, "budget": {"evaluations": evaluations}}
    return {"kind": "program", "config": inner}


@pytest.fixture
def run(tmp_path):
    """``run(name, strategy, test outcomes of the winner)`` makes a finished run with one seed and a winner."""

    def make(name, strategy, outcomes, digest="ab", seed=0, evaluations=3, state="finished"):
        record = RunRecord(name, "p", "tiny", {"evaluate.py": digest}, config(strategy, evaluations), seed, "0")
        with Database.create(tmp_path / name, record) as database:
            for number, right in ((1, [0.0] * 12), (2, outcomes)):
                request = ProposalRequest(0, 0, "seed", "problem", seed_name="uniform_average" if number == 1 else None)
                database.begin_proposal(request)
                database.set_state(number, "evaluating")
                for split in ("search", "test"):
                    evaluation = Evaluation(sum(right) / 12, {}, {"length": 0.0}, right)
                    cells = [Cell(0, "0", number, evaluation.score)] if split == "search" else []
                    database.add_evaluation(number, evaluation, split=split, cells=cells)
            database.set_winner(2)
            database.set_run_state(state)
        return tmp_path / name

    return make


def lines_of(folder):
    with queries.reading(folder) as connection:
        return comparison_lines(folder, connection, queries.summary(connection, folder))


def test_the_winner_is_compared_with_seeds_and_with_repeated_sampling_at_the_same_budget(run):
    ours = run("ours", "evolve", [1.0] * 9 + [0.0] * 3)
    run("other-problem", "repeated", [1.0] * 12, digest="cd")
    run("other-budget", "repeated", [1.0] * 12, evaluations=4)
    run("unfinished", "repeated", [1.0] * 12, state="stopped")
    missing = "winner minus repeated sampling: no such run here; make it with `evolve run p --profile tiny --strategy"
    assert lines_of(ours)[-1].startswith(missing)
    run("a-seed-1", "repeated", [0.0] * 12, seed=1)
    run("b-seed-0", "repeated", [1.0] * 6 + [0.0] * 6)
    lines = lines_of(ours)
    assert lines[0].startswith("winner minus uniform average (uniform_average): +0.750 [")
    assert lines[1].startswith("winner minus best baseline (uniform_average): +0.750 [")
    assert lines[2].startswith("winner minus repeated sampling, 3 evaluations (b-seed-0): +0.250 [")
    assert lines[2].endswith("McNemar p = 0.25 (12 test items)")


def test_a_run_of_repeated_sampling_is_not_compared_with_itself(run):
    assert not any("repeated" in line for line in lines_of(run("r", "repeated", [1.0] * 12)))


def test_what_chance_did_is_said_where_it_was_measured(run):
    folder = run("ours", "evolve", [1.0] * 9 + [0.0] * 3)
    with queries.reading(folder) as connection:
        assert chance_lines(connection) == []
    with Database.open(folder) as database:
        database.add_evaluation(2, Evaluation(0.25, {}, {}, [1.0] * 3 + [0.0] * 9), split="fresh")
        database.begin_proposal(ProposalRequest(0, 1, "full", "offline", 2))
        database.set_state(3, "evaluating")
        database.add_evaluation(3, Evaluation(0.0, {}, {}, [0.0] * 3), stopped="raced", items_total=12)
    with queries.reading(folder) as connection:
        assert chance_lines(connection) == [
            "evaluations ended early by racing: 1; items saved: 9 of 12 (75%)",
            "elites on fresh items: 1, 0.500 lower there on average; best elite: program 2, 0.500 over 24 items, "
            "so 0.250 is to be expected",
        ]
