"""Real runs of the two example problems, as a user would start them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from evolve.cli.new import SCAFFOLDS
from evolve.config import ProposalConfig, RunConfig
from evolve.evaluation import Evaluation
from evolve.llm.client import Client, RetryPolicy
from evolve.propose.ensemble import Ensemble
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import ProposalRequest, RunRecord


class Terminal:
    """Runs evolve commands in a folder, with runs and cache of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.environment = {
            **os.environ,
            "EVOLVE_RUNS": str(self.runs),
            "EVOLVE_CACHE": str(cache),
            "OMP_NUM_THREADS": "1",
        }
        self.environment.pop("EVOLVE_LLM", None)

    def command(self, *arguments):
        return [sys.executable, "-m", "evolve", *map(str, arguments)]

    def start(self, *arguments):
        return subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=self.folder, env=self.environment,
        )  # fmt: skip

    def run(self, *arguments, status=0):
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, cwd=self.folder,
            env=self.environment, timeout=240,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def reading(self, name):
        return queries.reading(self.runs / name)

    def programs(self, name):
        """Everything that a seed decides about the programs of a run."""
        with self.reading(name) as connection:
            return [
                (row["id"], row["state"], row["score"], row["parent_id"], row["description"], row["source_digest"])
                for row in queries.programs(connection, order="oldest")
            ]

    def summary(self, name):
        with self.reading(name) as connection:
            return queries.summary(connection, self.runs / name)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def terminal(tmp_path, cache):
    for kind in ("merge", "program"):
        shutil.copytree(SCAFFOLDS / kind, tmp_path / kind, ignore=shutil.ignore_patterns("__pycache__"))
    return Terminal(tmp_path, cache)


class LearningBench:
    """A run's database, ensemble and messages, as parts of the loop take them; ``edit`` writes an ended proposal."""

    def __init__(self, folder, llm_server):
        self.folder = folder
        self._server = llm_server
        self.reply = llm_server.Reply
        self.messages = []
        self.settings = {}
        self.llm = "writer,offline"
        self.database = Database.create(folder, RunRecord("r", "p", "tiny", {}, {}, 0, "0.1"))

    def play(self, make, act, *replies, **scripted):
        """What the coroutine function ``act`` of ``make(parts)`` returns, and the requests that the service got."""

        async def playing(url):
            client = Client(RetryPolicy(attempts=1))
            models = {"writer": {"api_base": url, "price_in_usd": 10, "price_out_usd": 20}}
            ensemble = Ensemble.parse(self.llm, models, client=client)
            config = RunConfig(proposals=replace(ProposalConfig(), **self.settings))
            observer = SimpleNamespace(message=self.messages.append)
            problem = SimpleNamespace(task="Approximate the sine.")
            parts = SimpleNamespace(
                database=self.database, config=config, ensemble=ensemble, observer=observer, problem=problem
            )
            try:
                return await act(make(parts))
            finally:
                await ensemble.aclose()

        with self._server.serving(*replies, **scripted) as script:
            return asyncio.run(playing(script.url)), script.requests

    def reopen(self):
        self.database.close()
        self.database = Database.open(self.folder)

    def edit(self, score, parent=None, *, description="an edit", prompt_id=None, seed=None, outcomes=(), error=None):
        database = self.database
        row = ProposalRequest(
            0, 0, "seed" if seed else "full", "problem" if seed else "writer", parent, seed_name=seed,
            description=description, prompt_id=prompt_id,
        )  # fmt: skip
        number = database.begin_proposal(row)
        if error is not None:
            database.set_state(number, "failed", reason="error", message=error)
            return number
        database.set_state(number, "evaluating")
        database.add_evaluation(number, Evaluation(score, {}, {}, outcomes, ""), archive_status="new")
        return number


@pytest.fixture
def bench(tmp_path, llm_server):
    made = LearningBench(tmp_path / "r", llm_server)
    yield made
    made.database.close()
