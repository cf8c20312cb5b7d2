"""``evolve stats`` while a run is being written."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from evolve.cli.main import cli
from evolve.evaluation import Evaluation
from evolve.store.database import Database
from evolve.store.records import LlmCall, ProposalRequest, RunRecord


@pytest.fixture
def database(tmp_path):
    with Database.create(tmp_path / "runs" / "r", RunRecord("r", "p", "tiny", {}, {}, 0, "0.1")) as made:
        add(made, "problem", 0.5, seed="s")
        yield made


def add(database, arm, score, parent=None, seed=None, stopped=None):
    patch = "tune" if arm == "tuning" else "diff"
    number = database.begin_proposal(ProposalRequest(0, 0, patch, arm, parent, seed_name=seed))
    database.add_llm_calls(number, [])
    database.set_source(number, f"x = {number}\n", f"{number:064x}")
    database.set_state(number, "evaluating")
    items = (score,) * (2 if stopped else 8)
    database.add_evaluation(number, Evaluation(score, {}, {}, items, ""), seconds=2.0, stopped=stopped, items_total=8)
    return number


def shown(tmp_path, *arguments):
    done = CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path / "runs")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_figures_of_every_arm_and_side_are_shown(database, tmp_path):
    assert "nothing but seeds" in shown(tmp_path, "stats", "r")
    add(database, "offline", 0.625, 1)
    text = shown(tmp_path, "stats")
    assert "cost" not in text, "nothing was paid"
    assert "racing" not in text
    assert "structure against tuning" not in text
    child = add(database, "tuning", 0.875, 2)
    add(database, "openai/gpt", 0.5, 1, stopped="raced")
    database.add_llm_calls(4, [LlmCall("openai", "openai/gpt", "p", "r", 1.0, cost_usd=0.25)])
    text = shown(tmp_path, "stats", "r")
    for word in ("openai/gpt", "0.2500", "structure against tuning", "racing ended 1 evaluations early and saved 6 of"):
        assert word in text
    rows = json.loads(shown(tmp_path, "stats", "-f", "json"))
    assert {row["arm"]: row["gain"] for row in rows["arms"]} == {"tuning": 0.25, "offline": 0.125, "openai/gpt": 0}
    assert rows["racing"]["items_saved"] == 6
    assert shown(tmp_path, "stats", "-f", "csv").splitlines()[1].startswith("tuning,1,1,0,0.0,")
    assert "score 0.875 = seed 0.5 + structure 0.125 + tuning 0.25" in shown(tmp_path, "show", str(child), "r")


def test_prompt_variants_and_the_newest_scratchpad_are_shown(database, tmp_path):
    add(database, "offline", 0.625, 1)
    connection = database.connection
    connection.execute("INSERT INTO prompts VALUES (1, NULL, 'be bold', 0, '2026')")
    connection.execute(
        "INSERT INTO scratchpads VALUES (1, 10, 'old', '2026'), (2, 20, 'norms stay' || char(7), '2026')"
    )
    connection.commit()
    text = shown(tmp_path, "stats")
    assert "be bold" in text
    assert "newest of 2, after 20 evaluations:\n  norms stay \n" in text


def refused(tmp_path, *arguments):
    done = CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path / "runs")])
    assert done.exit_code != 0
    return done.output + str(done.exception)


def test_unknown_states_splits_and_strategies_are_met_with_the_known_ones(database, tmp_path):
    add(database, "offline", 0.625, 1)
    assert "'abandoned'" in refused(tmp_path, "ls", "r", "--state", "lost")
    assert "-3 is not in the range" in refused(tmp_path, "ls", "r", "-n", "-3")
    assert "on split 'tset', only on search" in refused(tmp_path, "diff", "1", "2", "r", "--split", "tset")
    told = refused(tmp_path, "run", "circle_packing", "--strategy", "cma_es", "--name", "never")
    assert "did you mean 'cmaes'" in told
    assert "starting workers" not in told
    assert not (tmp_path / "runs" / "never").exists()
