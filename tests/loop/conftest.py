"""Real runs of the two example problems, as a user would start them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.cli.new import SCAFFOLDS
from evolve.store import queries


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
