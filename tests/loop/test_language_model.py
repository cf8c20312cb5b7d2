"""Whole runs with a scripted language model over loopback."""

from __future__ import annotations

import pytest

from evolve.store import queries

PROGRAM = '''
import numpy as np

height = knob("height", {height}, low=0.0, high=2.0)


def approximate(x):
    """sin(x) for x in [0, 2 pi]."""
    half = np.where(x < np.pi, x, x - np.pi)
    return np.where(x < np.pi, 1, -1) * height * 4 * half * (np.pi - half) / np.pi**2
'''
FULL_ONLY = ("--set", "proposals.concurrency=1", "--set", "proposals.diff=0", "--set", "proposals.full=1")
USD_PER_CALL = (100 * 10 + 50 * 20) / 1e6
"""What a scripted reply with usage costs at the prices of models.toml."""


def full(height):
    return f"Here it is.\n```python\n{PROGRAM.format(height=height)}```\n"


def diff(old, new):
    return f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


def models(terminal, script, **extra):
    lines = [
        "[models.scripted]",
        f'api_base = "{script.url}"',
        'api_key_env = "SCRIPTED_KEY"',
        "price_in_usd = 10",
        "price_out_usd = 20",
        "timeout_s = 5",
        *(f"{name} = {value}" for name, value in extra.items()),
    ]
    path = terminal.folder / "models.toml"
    path.write_text("\n".join(lines))
    terminal.environment["SCRIPTED_KEY"] = "secret-of-the-test"
    return path


def test_a_run_survives_everything_a_service_does_and_the_costs_add_up(terminal, llm_server):
    reply = llm_server.Reply
    script_of_faults = [
        full(0.91),
        reply(status=429, headers={"Retry-After": "0"}),
        full(0.92),
        "I would rather talk about the weather.",
        full(0.93),
        reply(""),
        full(0.94),
        reply(status=500),
        full(0.95),
        llm_server.truncated_json(full(0.5)),
        full(0.96),
        diff("this text is nowhere", "nor is this"),
        full(0.97),
        reply(hold=True),
        full(0.98),
        "```python\ndef broken(:\n```",
        full(0.99),
        full(1.0),
        full(1.01),
    ]
    with llm_server.serving(*script_of_faults, default=reply(full(1.02))) as script:
        path = models(terminal, script)
        told = ("--models", path, "--llm", "scripted:3,offline:1", "--evaluations", "14", "--workers", "1", *FULL_ONLY)
        done = terminal.run("run", "program", "--name", "p", *told)
        requests = list(script.requests)
    assert "no language model" not in done.stdout
    summary = terminal.summary("p")
    assert (summary["state"], summary["evaluations"]) == ("finished", 14)
    with terminal.reading("p") as connection:
        calls = queries.calls(connection)
        rows = queries.programs(connection, order="oldest")
    assert len(requests) >= len(calls) > 5
    paid = [call for call in calls if call["tokens_in"]]
    assert sum(call["cost_usd"] for call in paid) == pytest.approx(len(paid) * USD_PER_CALL)
    assert summary["cost_usd"] == pytest.approx(len(paid) * USD_PER_CALL)
    by_model = [row for row in rows if row["proposer"] == "scripted" and row["state"] == "scored"]
    assert by_model
    assert {row["patch"] for row in by_model} <= {"full", "cross", "fix"}
    assert any(request["headers"].get("Authorization") == "Bearer secret-of-the-test" for request in requests)
    everything = (terminal.runs / "p" / "evolve.db").read_bytes()
    assert b"secret-of-the-test" not in everything
    shown = terminal.run("show", str(by_model[0]["id"]), "p", "--prompts").stdout
    assert "--- prompt to" in shown
    assert "approximate" in shown


def test_a_money_budget_ends_the_run(terminal, llm_server):
    replies = [full(0.5 + 0.01 * number) for number in range(60)]
    with llm_server.serving(*replies) as script:
        path = models(terminal, script)
        told = ("--models", path, "--llm", "scripted", "--budget-usd", 5 * USD_PER_CALL, "--workers", "1", *FULL_ONLY)
        terminal.run("run", "program", "--name", "p", "--evaluations", "0", *told)
    summary = terminal.summary("p")
    assert summary["state"] == "finished"
    assert 5 * USD_PER_CALL <= summary["cost_usd"] <= 8 * USD_PER_CALL


def test_a_missing_key_is_one_clear_line(terminal, llm_server):
    with llm_server.serving() as script:
        path = models(terminal, script)
        del terminal.environment["SCRIPTED_KEY"]
        done = terminal.run("run", "program", "--name", "p", "--models", path, "--llm", "scripted", status=1)
    assert "SCRIPTED_KEY" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (terminal.runs / "p").exists()


def test_a_refused_key_stops_the_run_and_a_resume_goes_on(terminal, llm_server):
    with llm_server.serving(default=llm_server.Reply(status=401, message="bad key")) as script:
        path = models(terminal, script)
        done = terminal.run(
            "run", "program", "--name", "p", "--models", path, "--llm", "scripted", "--evaluations", "5", status=1
        )
    assert "SCRIPTED_KEY" in done.stderr
    assert "evolve resume" in done.stderr
    assert terminal.summary("p")["state"] == "failed"


def test_a_refused_key_leaves_the_other_proposers_at_work(terminal, llm_server):
    with llm_server.serving(default=llm_server.Reply(status=401, message="bad key")) as script:
        path = models(terminal, script)
        done = terminal.run(
            "run", "program", "--name", "p", "--models", path, "--llm", "scripted,offline", "--evaluations", "8"
        )
    assert "goes on without scripted" in done.stdout
    assert terminal.summary("p")["evaluations"] == 8
