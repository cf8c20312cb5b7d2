"""Runs of the search benchmark: every strategy on every problem, zoo and seed, up to several budgets.

A run goes to the smallest budget, is concluded there (validation chooses the winner, the sealed test is read), is
extended to the next budget and concluded again. Results are lines of JSON, one for each budget; a run whose result
is there is not made again, so the benchmark can be made in pieces.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evolve.resources import folder as shipped
from evolve.store import queries

EVOLVE = [sys.executable, "-m", "evolve"]

STRATEGIES: Mapping[str, tuple[str, ...]] = {
    "evolve": (),
    "random search": ("search.strategy=random",),
    "repeated sampling": ("search.strategy=repeated",),
    "parameter space": ("search.strategy=parameter_space",),
    "per layer": (
        "search.strategy=parameter_space",
        "search.options={method = 'task_arithmetic', low = -0.5, high = 1.5}",
    ),
    "per layer from global": (
        "search.strategy=parameter_space",
        "search.options={method = 'task_arithmetic', start = 'global', low = -0.5, high = 1.5}",
    ),
    "task arithmetic": ("search.strategy=cmaes",),
    "genome": ("search.strategy=genome",),
}
"""Names in the table, and the settings that make them; the first one is compared with the others."""


@dataclass(frozen=True)
class Case:
    """One run: a strategy on a problem with donors of one zoo seed, from one search seed."""

    strategy: str
    problem: str
    zoo: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.problem}-zoo{self.zoo}-{self.strategy.replace(' ', '_')}-{self.seed}"


@dataclass(frozen=True)
class Result:
    """Where a run stood at a budget: scores of its winner, and the test outcome of every question."""

    strategy: str
    problem: str
    zoo: int
    seed: int
    budget: int
    search: float
    validation: float
    test: float
    outcomes: str
    curve: tuple[float, ...]
    items: int
    run_s: float
    commit: str
    date: str

    @property
    def case(self) -> Case:
        return Case(self.strategy, self.problem, self.zoo, self.seed)


def problem_with_zoo(problem: str, zoo: int, folder: Path) -> Path:
    """A shipped problem, or a copy of it whose donors are trained from another seed."""
    source, target = shipped("problems") / problem, folder / "problems" / f"{problem}_zoo{zoo}"
    told = (source / "problem.toml").read_text("utf-8")
    text, count = re.subn(r"^zoo_seed = \d+$", f"zoo_seed = {zoo}", told, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{source}/problem.toml has {count} lines `zoo_seed = ...`; one is needed")
    if text == told:
        return source
    if not target.exists():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        (target / "problem.toml").write_text(text, encoding="utf-8")
    return target


def run(
    case: Case, budgets: list[int], folder: Path, given: Sequence[str] | None = None, problem: Path | None = None
) -> Iterator[Result]:
    """Makes a run, or goes on with it, and yields its result at each budget.

    ``given`` are settings instead of the strategy's own, ``problem`` a folder instead of the shipped problem.
    """
    environment = {**os.environ, "EVOLVE_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    problem = problem or problem_with_zoo(case.problem, case.zoo, folder)
    settings = [part for one in (STRATEGIES[case.strategy] if given is None else given) for part in ("--set", one)]
    place = folder / "runs" / case.name
    shutil.rmtree(place, ignore_errors=True)
    for budget in sorted(budgets):
        started = time.perf_counter()
        if place.exists():
            command = ["resume", case.name, "--workers", "1"]
        else:
            command = ["run", str(problem), "--name", case.name, "--seed", str(case.seed), "--workers", "1", *settings]
        with (folder / f"{case.name}.log").open("a") as log:
            subprocess.run(
                [*EVOLVE, *command, "--evaluations", str(budget), "--plain"],
                env=environment, stdout=log, stderr=log, check=True,
            )  # fmt: skip
        yield read(place, case, budget, time.perf_counter() - started)


def read(place: Path, case: Case, budget: int, run_s: float) -> Result:
    """The result of a concluded run."""
    with queries.reading(place) as connection:
        winner = queries.summary(connection, place)["winner_id"]
        rows = {row["split"]: row for row in queries.evaluations(connection, winner)}
        curve = tuple(row["best"] for row in queries.progress(connection))
        query = "SELECT sum(items) AS items FROM evaluations WHERE split = 'search'"
        items = connection.execute(query).fetchone()["items"]
    if "test" not in rows:
        raise SystemExit(f"the winner of {case.name} has no test score; its log, beside the runs, says why")
    outcomes = "".join(f"{value:.4g} " for value in rows["test"]["outcomes"]).strip()
    return Result(
        **asdict(case), budget=budget, search=rows["search"]["score"], validation=rows["validation"]["score"],
        test=rows["test"]["score"], outcomes=outcomes.replace(" ", "") if set(outcomes) <= set("01 ") else outcomes,
        curve=curve, items=items, run_s=round(run_s, 1), commit=_commit(), date=time.strftime("%Y-%m-%d"),
    )  # fmt: skip


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def load(path: Path) -> list[Result]:
    """The results of a file, none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [Result(**{**row, "curve": tuple(row["curve"])}) for row in found]


def store(path: Path, result: Result) -> None:
    """Adds a result to a file."""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(result)) + "\n")
