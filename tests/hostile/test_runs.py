"""Real runs whose language model proposes the whole corpus: they finish, every proposal is recorded, none cheats."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evolve.cli.new import SCAFFOLDS
from evolve.store import queries

CALM = (
    "proposals.attempts=1", "proposals.diff=0", "proposals.full=1", "proposals.cross=0", "proposals.scratchpad_every=0",
    "proposals.prompt_archive=false", "search.fix_probability=0", "search.cross_probability=0", "novelty.tries=1",
    "novelty.text_threshold=0", "search.profiles=false", "evaluation.ablate_every=0", "sandbox.memory_mb=256",
)  # fmt: skip
"""Settings under which each proposal is one reply, taken as it is."""
HONEST = {
    "program": "def approximate(x):\n    return x * 0 + {number} / 10000\n",
    "merge": "def merge(site, base):\n    return base * (1 - {number} / 10000)\n",
}
WALL_S = {"program": 1, "merge": 4}


SLOW = ("exhaustion", "recursion")
"""Themes whose harmless programs work hard: the limit of a run may be too short for them."""


class Proposer:
    """Answers requests with the programs in turn, then with honest ones that are all different."""

    def __init__(self, programs, honest, places, reply):
        self.asked = 0
        self._programs, self._honest, self._places, self._reply = programs, honest, places, reply
        self._lock = threading.Lock()

    def answer(self, body):
        with self._lock:
            number, self.asked = self.asked, self.asked + 1
        if number < len(self._programs):
            program = self._programs[number]
            name, text = program.name, program.block(self._places)
        else:
            name, text = "honest", self._honest.format(number=number + 1)
        return self._reply(f"Idea: {name}\n\n~~~~python\n{text}~~~~\n")


class Ran:
    """A finished run: what it printed, and its rows by the name of the program."""

    def __init__(self, folder, done, command):
        self.folder, self.done, self._command = folder, done, command
        with queries.reading(folder) as connection:
            self.summary = queries.summary(connection, folder)
            self.rows = queries.programs(connection, order="oldest")
        self.hostile = {row["description"]: row for row in self.rows}

    def evolve(self, *arguments):
        return self._command(*arguments)


def start(folder, kind, found, canaries, llm_server):
    """A real run of ``kind`` in ``folder`` over the programs ``found``."""
    shutil.copytree(SCAFFOLDS / kind, folder / kind, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        **os.environ, "EVOLVE_RUNS": str(folder / "runs"), "EVOLVE_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1", "SCRIPTED_KEY": "canary-in-the-environment",
    }  # fmt: skip

    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "evolve", *map(str, arguments)], capture_output=True, check=False, cwd=folder,
            env=environment, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done

    proposer = Proposer(found, HONEST[kind], canaries.places, llm_server.Reply)
    seeds = len(list((SCAFFOLDS / kind / "seeds").glob("*.py")))
    # what is evaluated counts; the last are honest, so that the budget is used up only when all were asked for
    evaluated = len(found) if kind == "program" else sum("scored" in one.expected.states for one in found)
    settings = [part for text in (*CALM, f"sandbox.wall_s={WALL_S[kind]}") for part in ("--set", text)]
    with llm_server.serving(answer=proposer.answer) as script:
        (folder / "models.toml").write_text(
            f'[models.scripted]\napi_base = "{script.url}"\napi_key_env = "SCRIPTED_KEY"\nprice_in_usd = 0\n'
            "price_out_usd = 0\n"
        )
        done = command(
            "run", kind, "--name", "r", "--llm", "scripted", "--models", "models.toml", "--workers",
            2 if kind == "program" else 1, "--evaluations", seeds + evaluated + 2, "--plain", *settings,
        )  # fmt: skip
    assert proposer.asked >= len(found), "the budget was used up before the corpus was"
    return Ran(folder / "runs" / "r", done, command)


def fits(one, row):
    """Whether a row is what the program expects."""
    expected = one.expected
    if row["state"] in ("scored", "duplicate"):  # two programs that make the same model are one, which is no harm
        return "scored" in expected.states
    if row["reason"] == "timeout" and ("failed" in expected.states or one.name.startswith(SLOW)):
        return True  # on a busy machine the limit of a run may come before what stops a program otherwise
    return row["state"] in expected.states and row["reason"] in (expected.reasons or {row["reason"]})


@pytest.fixture(scope="module", params=["program", "merge"])
def ran(request, tmp_path_factory, canaries, corpus, llm_server):
    """The run of a kind over its whole corpus, and the corpus."""
    found = corpus.corpus(request.param)
    run = start(tmp_path_factory.mktemp(request.param), request.param, found, canaries, llm_server)
    return run, found


def test_the_run_finishes_and_every_proposal_is_classified(ran, corpus, canaries):
    run, found = ran
    assert run.summary["state"] == "finished"
    wrong = {}
    for one in found:
        row = run.hostile.get(one.name)
        if row is None:
            wrong[one.name] = "was never proposed"
            continue
        if not fits(one, row):
            wrong[one.name] = row["state"], row["reason"], row["message"]
    assert wrong == {}
    assert canaries.disturbed() == []


def test_no_cheat_earns_a_better_score(ran):
    run, found = ran
    hostile = {one.name for one in found}
    scored = [row for row in run.rows if row["score"] is not None]
    best = max(scored, key=lambda row: row["score"])
    assert best["description"] not in hostile
    assert best["seed_name"] is not None
    assert 0 <= best["score"] <= 1


def test_what_is_recorded_and_printed_is_free_of_escape_codes(ran):
    run, _ = ran
    for row in run.rows:
        for text in (row["message"] or "", row["description"] or ""):
            assert text.isprintable(), (row["id"], text)
            assert len(text) <= 1000
    printed = [run.done]
    shown = [run.hostile[name]["id"] for name in ("speaking/raw_escape_codes", "exceptions/escape_codes",
             "recipes/knob_with_escape_codes", "recipes/enormous_message") if name in run.hostile]  # fmt: skip
    printed += [run.evolve("show", number, "r") for number in shown]
    printed += [run.evolve("ls"), run.evolve("ls", "r")]
    for done in printed:
        for stream in (done.stdout, done.stderr):
            text = stream.decode()
            assert not [character for character in text if not character.isprintable() and character != "\n"], done.args


def test_the_run_holds_no_key(ran):
    run, _ = ran
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert b"canary-in-the-environment" not in path.read_bytes(), path


def test_no_process_of_the_run_is_left(ran):
    run, _ = ran
    left = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                left += [process] if os.fsencode(run.folder.parent.parent) in (process / "cmdline").read_bytes() else []
    assert left == []
