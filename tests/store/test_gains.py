"""What arms, structure and tuning brought, from a database written as the loop writes it."""

from __future__ import annotations

import pytest

from evolve.evaluation import Evaluation
from evolve.store import gains, queries
from evolve.store.database import Database
from evolve.store.records import LlmCall, ProposalRequest, RunRecord


def sides(connection):
    return gains.sides(connection, gains.tallies(connection))


def prompts(connection):
    return gains.prompts(connection, gains.tallies(connection))


class Run:
    """Writes proposals; ``add`` returns the number."""

    def __init__(self, folder, direction="maximize"):
        self.database = Database.create(folder, RunRecord("r", "p", "tiny", {}, {}, 0, "0.1", direction=direction))

    def add(self, arm, score, parent=None, *, seed=None, patch="diff", stopped=None, archived=False, costs=()):
        number = self.database.begin_proposal(ProposalRequest(0, 0, patch, arm, parent, seed_name=seed))
        self.database.set_source(number, f"x = {number}\n", f"{number:064x}")
        calls = [LlmCall("openai", arm, "p", "r", 1.0, cost_usd=cost) for cost in costs]
        self.database.add_llm_calls(number, calls)
        if score is None:
            self.database.set_state(number, "rejected", reason="patch", message="no")
            return number
        self.database.set_state(number, "evaluating")
        items = 2 if stopped else 8
        self.database.add_evaluation(
            number, Evaluation(score, {}, {}, (score,) * items, ""), seconds=2.0, stopped=stopped, items_total=8,
            archive_status="new" if archived else "not_added",
        )  # fmt: skip
        return number


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "r")
    made.add("problem", 0.25, seed="weak")
    made.add("problem", 0.5, seed="strong")
    yield made
    made.database.close()


def test_an_arm_is_credited_with_what_it_gained_over_parent_and_best_seed(run):
    run.add("model", 0.625, 1, archived=True, costs=(0.5, 0.25))  # over the best seed, not over its weak parent
    run.add("model", 0.375, 1)  # over its parent only
    run.add("model", None, 1, costs=(0.25,))
    run.add("offline", 0.75, 3)
    run.add("offline", 1.0, 3, stopped="raced")
    run.add("ablation", 1.0, 3, patch="ablation")
    free, paid = None, None
    for row in gains.arms(gains.tallies(run.database.connection)):
        free, paid = (row, paid) if row["arm"] == "offline" else (free, row)
    assert paid["arm"] == "model"
    assert (paid["calls"], paid["evaluations"], paid["accepted"], paid["failures"]) == (3, 2, 1, 1)
    assert (paid["gain"], paid["seconds"], paid["cost_usd"]) == pytest.approx((0.125, 4.0, 1.0))
    assert (paid["gain_per_usd"], paid["gain_per_second"]) == pytest.approx((0.125, 0.125 / 4))
    assert (free["calls"], free["raced"], free["gain"], free["cost_usd"], free["gain_per_usd"]) == (
        2,
        1,
        0.125,
        0,
        None,
    )


def test_an_unknown_price_stays_unknown(run):
    run.add("model", 0.75, 2, costs=(0.5, None))
    row = gains.arms(gains.tallies(run.database.connection))[0]
    assert (row["gain"], row["cost_usd"], row["gain_per_usd"]) == (0.25, None, None)


def test_structure_and_tuning_share_what_raised_the_best(run):
    run.add("offline", 0.625, 2)
    run.add("tuning", 0.875, 3, patch="tune")
    run.add("tuning", 0.75, 3, patch="tune")
    rows = {row["side"]: row for row in sides(run.database.connection)}
    assert (rows["structure"]["raised_best"], rows["structure"]["improvements"]) == (0.125, 1)
    assert (rows["tuning"]["raised_best"], rows["tuning"]["improvements"]) == (0.25, 1)
    assert rows["tuning"]["per_evaluation"] == 0.125


def test_a_score_is_the_sum_of_what_its_line_brought(run):
    assert gains.credited(run.database.connection, 1) == {}
    broken = run.add("model", None, 2)
    fixed = run.add("model", 0.625, broken, patch="fix")
    better = run.add("tuning", 0.875, fixed, patch="tune")
    last = run.add("offline", 0.75, better)
    found = gains.credited(run.database.connection, last)
    assert found == {"seed": 0.5, "structure": 0.0, "tuning": 0.25}
    assert sum(found.values()) == 0.75
    with queries.reading(run.database.folder) as connection:
        assert gains.credited(connection, better) == {"seed": 0.5, "structure": 0.125, "tuning": 0.25}
    assert gains.credited(run.database.connection, broken) == {}


def test_prompts_and_scratchpads_are_read_where_there_are_any(run):
    connection = run.database.connection
    assert prompts(connection) == gains.scratchpads(connection) == []
    connection.execute("INSERT INTO prompts VALUES (1, NULL, 'be bold', 0, '2026'), (2, 1, 'be brief', 1, '2026')")
    connection.execute("INSERT INTO scratchpads VALUES (1, 10, 'a', '2026'), (2, 20, 'b', '2026')")
    child = run.add("model", 0.75, 2)
    connection.execute("UPDATE proposals SET prompt_id = 2 WHERE id = ?", (child,))
    rows = prompts(connection)
    assert [(row["prompt"], row["calls"], row["gain"], row["retired"]) for row in rows] == [
        (2, 1, 0.25, 1),
        (1, 0, 0, 0),
    ]
    assert [row["evaluations"] for row in gains.scratchpads(connection)] == [20, 10]
