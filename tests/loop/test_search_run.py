"""Whole runs with the gate, ablations and predictions at work."""

from __future__ import annotations

import pytest

from evolve.store import queries

PROGRAM = '''
import numpy as np

height = knob("height", {height}, low=0.0, high=2.0)


def approximate(x):
    """sin(x) for x in [0, 2 pi]."""
    {name} = np.where(x < np.pi, x, x - np.pi)
    return np.where(x < np.pi, 1, -1) * height * 4 * {name} * (np.pi - {name}) / np.pi**2
'''


def full(height, name="half"):
    return f"Here it is.\n```python\n{PROGRAM.format(height=height, name=name)}```\n"


def test_a_renamed_program_costs_no_evaluation_and_is_tried_again(terminal, llm_server):
    replies = [full(0.91), full(0.91, "part"), full(0.91, "piece"), *(full(0.9 + 0.001 * n) for n in range(20, 60))]
    with llm_server.serving(*replies) as script:
        path = terminal.folder / "models.toml"
        path.write_text(f'[models.scripted]\napi_base = "{script.url}"\nprice_in_usd = 0\nprice_out_usd = 0\n')
        terminal.run(
            "run", "program", "--name", "p", "--models", path, "--llm", "scripted", "--evaluations", "6",
            "--workers", "1", "--set", "proposals.concurrency=1", "--set", "proposals.diff=0",
            "--set", "proposals.full=1",
        )  # fmt: skip
        prompts = ["".join(turn["content"] for turn in call["body"]["messages"]) for call in script.requests]
    with terminal.reading("p") as connection:
        rows = queries.programs(connection, order="oldest")
    turned = [row for row in rows if row["reason"] == "near_duplicate"]
    assert len(turned) == 2
    original = turned[0]["duplicate_of"]
    assert {row["state"] for row in turned} == {"duplicate"}
    assert all(f"like program #{original}: text similarity 1.0000" in row["message"] for row in turned)
    assert any("was turned away: like program" in prompt for prompt in prompts)
    assert terminal.summary("p")["evaluations"] == 6


@pytest.mark.slow
def test_the_best_merge_is_ablated_without_entering_the_archive(terminal):
    told = ("--evaluations", "12", "--workers", "1", "--set", "evaluation.ablate_every=6")
    terminal.run("run", "merge", "--name", "m", *told)
    with terminal.reading("m") as connection:
        rows = queries.programs(connection, order="oldest")
        winner = queries.program(connection, "winner")
        held = {row["program_id"] for row in queries.cells(connection)}
    variants = [row for row in rows if row["patch"] == "ablation"]
    assert {row["description"] for row in variants} & {"without first", "without second"}
    assert {row["archive_status"] for row in variants if row["state"] == "scored"} == {"not_added"}
    assert not held & {row["id"] for row in variants}
    assert winner["patch"] != "ablation"
    shown = terminal.run("show", str(variants[0]["parent_id"]), "m").stdout
    assert "items lost" in shown
    assert terminal.summary("m")["evaluations"] == 12


@pytest.mark.slow
def test_predictions_are_stored_and_a_seed_still_decides_the_run(terminal):
    told = ("--evaluations", "28", "--workers", "1", "--seed", "3", "--set", "search.surrogate=true")
    for name in ("a", "b"):
        terminal.run("run", "merge", "--name", name, *told)
    assert terminal.programs("a") == terminal.programs("b")
    with terminal.reading("a") as connection:
        (count,) = connection.execute("SELECT count(predicted) AS n FROM proposals").fetchone().values()
    assert count >= 6
