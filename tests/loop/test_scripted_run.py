"""One whole run with a scripted language model, in which everything that learns takes part."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest

PROGRAM = '''
import numpy as np

height = knob("height", {height:.3f}, low=0.0, high=2.0)


def approximate(x):
    """sin(x) for x in [0, 2 pi]."""
    half = np.where(x < np.pi, x, x - np.pi)
    return np.where(x < np.pi, 1, -1) * height * 4 * half * (np.pi - half) / np.pi**2
'''
VARIANT = "Name the part of the curve with the largest error and change the term that rules there."
USD_PER_CALL = (100 * 10 + 50 * 20) / 1e6


class Model:
    """Answers by what it is asked; the second program repeats the first in other words, the fourth fails."""

    def __init__(self, reply):
        self.reply = reply
        self.programs = 0
        self.asked = {"program": [], "scratchpad": [], "prompt": []}

    def __call__(self, body):
        prompt = "\n".join(message["content"] for message in body["messages"])
        if "At most 12 recommendations" in prompt:
            self.asked["scratchpad"].append(prompt)
            return self.reply(f"Here:\n- keep the two parabolas\n- lesson {len(self.asked['scratchpad'])}")
        if "Write one new paragraph" in prompt:
            self.asked["prompt"].append(prompt)
            return self.reply(f"{VARIANT} ({len(self.asked['prompt'])})")
        self.asked["program"].append(prompt)
        self.programs += 1
        return self.reply(f"Idea: height number {self.programs}\n```python\n{self.program()}```\n")

    def program(self):
        if self.programs == 2:
            return PROGRAM.format(height=0.91).replace("half", "part")
        text = PROGRAM.format(height=0.9 + 0.01 * self.programs)
        return (
            text.replace("    half", "    raise ValueError('no parabola')\n    half", 1) if self.programs == 4 else text
        )


def models(terminal, script):
    path = terminal.folder / "models.toml"
    path.write_text(
        f'[models.scripted]\napi_base = "{script.url}"\nprice_in_usd = 10\nprice_out_usd = 20\ntimeout_s = 60\n'
    )
    return path


def stats(terminal):
    return json.loads(terminal.run("stats", "p", "--format", "json").stdout)


def shown(terminal, number, *options):
    return terminal.run("show", number, "p", *options).stdout


@pytest.fixture
def done(terminal, llm_server):
    """The terminal after the run, and the model that was asked."""
    model = Model(llm_server.Reply)
    with llm_server.serving(answer=model) as script:
        terminal.run(
            "run", "program", "--name", "p", "--models", models(terminal, script), "--llm", "scripted,offline",
            "--evaluations", "26", "--workers", "1",
            "--set", "proposals.concurrency=1", "--set", "proposals.diff=0", "--set", "proposals.full=1",
            "--set", "proposals.cross=0", "--set", "search.fix_probability=1", "--set", "search.bandit=ucb",
            "--set", "proposals.scratchpad_every=6", "--set", "proposals.prompt_every=7",
            "--set", "proposals.evolution_of_thought=0",
        )  # fmt: skip
    return terminal, model


def test_everything_that_learns_shows_in_stats_and_show(done):
    terminal, model = done
    found = stats(terminal)
    with terminal.reading("p") as connection:
        proposals = connection.execute("SELECT * FROM proposals ORDER BY id").fetchall()
        calls = connection.execute("SELECT * FROM llm_calls WHERE proposal_id IS NULL ORDER BY id").fetchall()
    # bandit: both arms were tried, and what they brought is told
    arms = {row["arm"]: row for row in found["arms"]}
    assert arms["scripted"]["calls"] > 5
    assert arms["offline"]["calls"] > 2
    assert arms["scripted"]["gain"] > 0
    # novelty: the renamed program was turned away, and the next request says so
    near = next(row for row in proposals if row["reason"] == "near_duplicate")
    assert near["proposer"] == "scripted"
    assert f"like program #{near['duplicate_of']}" in shown(terminal, near["id"])
    assert any("was turned away" in prompt for prompt in model.asked["program"])
    # fix: the failed program was repaired, without a variant of the advice
    broken = next(row for row in proposals if row["state"] == "failed" and "no parabola" in row["message"])
    repair = next(row for row in proposals if row["patch"] == "fix" and row["parent_id"] == broken["id"])
    assert repair["prompt_id"] is None
    assert f"parent {broken['id']}" in shown(terminal, repair["id"])
    # insights: what earlier edits of the lineage did is in the prompt
    line = re.compile(r"^#\d+ -> #\d+ .*height number \d+.*: [+-]0\.\d+", re.MULTILINE)
    told = next(row for row in reversed(proposals) if row["proposer"] == "scripted" and row["patch"] == "full")
    assert "What edits on the way to this program" in shown(terminal, told["id"], "--prompts")
    assert line.search("\n".join(model.asked["program"]))
    # scratchpad: distilled from edits and errors, shown afterwards, counted, paid for by the run
    assert len(found["scratchpads"]) == len(model.asked["scratchpad"]) >= 2
    newest = found["scratchpads"][0]
    assert newest["text"] == f"- keep the two parabolas\n- lesson {len(found['scratchpads'])}"
    assert "Edits that raised the score most" in model.asked["scratchpad"][0]
    assert any("no parabola" in prompt for prompt in model.asked["scratchpad"])
    assert "- lesson 1" in model.asked["scratchpad"][1]
    assert f"scratchpad, newest of {len(found['scratchpads'])}, after {newest['evaluations']} evaluations:" in (
        terminal.run("stats", "p").stdout
    )
    later = next(row for row in reversed(proposals) if row["proposer"] == "scripted" and row["prompt_id"])
    assert "- keep the two parabolas" in shown(terminal, later["id"], "--prompts")
    # prompt archive: the shipped advice and what the model wrote, drawn and credited
    variants = {row["prompt"]: row for row in found["prompts"]}
    assert len(variants) == 1 + len(model.asked["prompt"]) >= 2
    assert variants[2]["text"] == f"{VARIANT} (1)"
    assert variants[2]["parent_id"] == 1
    assert variants[1]["text"] in model.asked["prompt"][0]
    assert variants[1]["calls"] and variants[2]["calls"]
    assert sum(row["calls"] for row in variants.values()) == sum(row["prompt_id"] is not None for row in proposals)
    used = next(row for row in proposals if row["prompt_id"] == 2)
    text = shown(terminal, used["id"], "--prompts")
    assert f"prompt variant 2: {VARIANT[:40]}" in text
    assert f"{VARIANT} (1)" in text
    assert json.loads(shown(terminal, used["id"], "--format", "json"))[0]["prompt"]["id"] == 2
    assert re.search(r"prompt variants\n.*accepted share.*mean gain", terminal.run("stats", "p").stdout)
    # money: every call of the run is in its cost
    assert {call["purpose"] for call in calls} == {"scratchpad", "prompt"}
    assert all(call["cost_usd"] == pytest.approx(USD_PER_CALL) for call in calls)
    made = sum(map(len, model.asked.values()))
    assert terminal.summary("p")["cost_usd"] == pytest.approx(made * USD_PER_CALL)


class Refusing(Model):
    """Writes programs, and has nothing to say of the run."""

    def __call__(self, body):
        prompt = "\n".join(message["content"] for message in body["messages"])
        if "At most 12 recommendations" in prompt or "Write one new paragraph" in prompt:
            return self.reply(status=400, message="too long")
        return super().__call__(body)


def short(terminal, script, *more):
    return (
        "run", "program", "--name", "p", "--models", models(terminal, script), "--llm", "scripted", "--workers", "1",
        "--set", "proposals.concurrency=1", "--set", "proposals.diff=0", "--set", "proposals.full=1",
        "--set", "proposals.scratchpad_every=3", "--set", "proposals.prompt_every=3",
        "--set", "proposals.evolution_of_thought=0", *more,
    )  # fmt: skip


def test_refused_calls_are_no_failure_of_the_run(terminal, llm_server):
    with llm_server.serving(answer=Refusing(llm_server.Reply)) as script:
        done = terminal.run(*short(terminal, script, "--evaluations", "9"))
    assert "no new scratchpad from scripted, it is asked for again later" in done.stdout
    assert "no new prompt from scripted" in done.stdout
    summary = terminal.summary("p")
    assert (summary["state"], summary["evaluations"]) == ("finished", 9)
    found = stats(terminal)
    assert found["scratchpads"] == []
    assert [row["prompt"] for row in found["prompts"]] == [1]


class Slow(Model):
    """Writes programs, and never answers a question about the run while ``held``."""

    def __init__(self, reply):
        super().__init__(reply)
        self.held = True

    def __call__(self, body):
        prompt = "\n".join(message["content"] for message in body["messages"])
        answer = super().__call__(body)
        return self.reply(hold=True) if self.held and "At most 12 recommendations" in prompt else answer


def test_a_slow_scratchpad_holds_up_nothing_and_an_abort_loses_nothing(terminal, llm_server):
    model = Slow(llm_server.Reply)
    with llm_server.serving(answer=model) as script:
        told = short(terminal, script, "--evaluations", "14")
        process = terminal.start(*told)
        for _ in range(2400):
            if model.programs >= 12:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert model.programs >= 12
        assert len(model.asked["scratchpad"]) == 1
        stopped = terminal.summary("p")
        assert stopped["state"] == "stopped"
        assert stats(terminal)["scratchpads"] == []
        model.held = False
        terminal.run("resume", "p", "--evaluations", stopped["evaluations"] + 4)
    assert terminal.summary("p")["state"] == "finished"
    found = stats(terminal)["scratchpads"]
    assert found[-1]["text"] == "- keep the two parabolas\n- lesson 2"


def test_a_run_without_a_language_model_learns_nothing_and_repeats(terminal):
    told = ("--evaluations", "12", "--workers", "1", "--set", "proposals.scratchpad_every=1")
    terminal.run("run", "program", "--name", "p", *told, "--set", "proposals.prompt_every=1")
    terminal.run("run", "program", "--name", "q", *told, "--set", "proposals.prompt_archive=false")
    assert terminal.programs("p") == terminal.programs("q")
    found = stats(terminal)
    assert (found["scratchpads"], found["prompts"]) == ([], [])
