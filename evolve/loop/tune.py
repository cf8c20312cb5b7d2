"""Tuning the numbers of one program: in the run that it belongs to, or in a run of its own."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from evolve.config import BudgetConfig, RunConfig
from evolve.errors import RunError, UsageError
from evolve.loop import start
from evolve.loop.engine import Engine
from evolve.loop.finale import evaluate_all
from evolve.loop.observer import Observer
from evolve.loop.parts import Parts
from evolve.loop.start import Intent
from evolve.problem import Problem
from evolve.store import queries
from evolve.strategies.base import Ask, Told
from evolve.strategies.credit import TUNING
from evolve.strategies.tuning import PATCH, Tunable, Tuning, TuningOptions

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Tuned:
    """The outcome: numbers of the program before and after (the same where nothing was better), and the new text."""

    start: int
    best: int
    source: str
    results: int


class OneTuning:
    """The strategy that only tunes one program: the one named, else the first program scored.

    ``begun`` sets its proposals apart from those of earlier tunings of the same program.
    """

    def __init__(self, seed: int, begun: int, options: TuningOptions) -> None:
        self._seed = seed
        self._begun = begun
        self._options = options
        self._island = 0
        self.start: int | None = None
        self.best: int | None = None
        self.tuning: Tuning | None = None

    def begin(self, number: int, source: str, score: float, island: int) -> None:
        """Names the program."""
        self.start = self.best = number
        self._island = island
        self.tuning = Tuning(source, score, zlib.crc32(f"{self._seed} {number} {self._begun}".encode()), self._options)

    def ask(self, rng: numpy.random.Generator) -> Ask | None:
        """The next point of the tuning; None when it has ended."""
        asked = self.tuning.ask() if self.tuning is not None else None
        if asked is None:
            return None
        source, description, note = asked
        return Ask(
            TUNING, source, description=description, patch=PATCH, island=self._island, parent=self.start,
            note={"target": self.start, "begun": self._begun, **note},
        )  # fmt: skip

    def tell(self, told: Told) -> None:
        """Every result of the run; those of other proposals are passed over."""
        if self.tuning is None:
            if told.score is not None and told.source is not None and told.whole:
                self.begin(told.id, told.source, told.score, told.island)
            return
        if told.note.get("target") != self.start or told.note.get("begun") != self._begun:
            return
        before = self.tuning.best[1]
        score = told.score if told.whole else None
        self.tuning.tell(told.note, score)
        if score is not None and score > before:
            self.best = told.id


@contextmanager
def of_file(
    path: Path, problem: Problem, config: RunConfig, donors: dict[str, str], root: Path, name: str | None
) -> Iterator[Intent]:
    """A new run of a problem whose only seed is the program in a file. Raises UsageError where it has no knobs."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}; name the file of a program") from None
    require_knobs(source, str(path))
    with TemporaryDirectory(prefix="evolve-tune-") as made:
        folder = Path(made) / problem.name
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", "seeds")
        shutil.copytree(problem.folder, folder, ignore=ignored)
        (folder / "seeds").mkdir()
        (folder / "seeds" / f"{path.stem}.py").write_text(source, encoding="utf-8")
        alone = Problem(problem.name, folder, problem.manifest, problem.profile_name)
        yield start.fresh(alone, config, donors, root, name)


def require_knobs(source: str, name: str) -> None:
    """Raises UsageError for a program without a number that can be tuned."""
    if not Tunable(source).space.size:
        raise UsageError(
            f'{name} has no knobs to tune; write its numbers as knob("name", 0.5, low=0.0, high=1.0), nothing computed'
        )


async def tune(
    intent: Intent, number: int | None, evaluations: int, options: TuningOptions, observer: Observer
) -> Tuned:
    """Tunes a stored program, or the only seed of a new run, with so many evaluations; start and best program are then
    evaluated on the validation split, if there is one."""
    async with start.assembled(intent, observer) as parts:
        database = parts.database
        state = database.run.state
        database.set_run_state("running")
        counts = database.counts()
        budget = counts.evaluations + evaluations + (number is None)
        parts.config = replace(parts.config, budget=BudgetConfig(evaluations=budget))
        parts.status.evaluations_limit = budget
        strategy = OneTuning(parts.config.seed, counts.proposals, replace(options, evaluations=evaluations))
        if number is not None:
            row = database.program(number)
            assert row.score is not None, "the command refuses programs without a score"
            strategy.begin(number, row.source or "", row.score, row.island)
        ended = "stopped" if state == "running" else state
        try:
            engine = Engine(parts, strategy)
            await engine.run()
            found = await _concluded(parts, strategy)
            if number is None:
                ended = "stopped" if engine.draining else "finished"
        finally:
            database.set_run_state("stopped" if ended == "created" else ended)
        if number is None:
            database.set_winner(found.best)
        return found


async def _concluded(parts: Parts, strategy: OneTuning) -> Tuned:
    if strategy.start is None or strategy.best is None or strategy.tuning is None:
        raise RunError("the program was not scored before the stop, so nothing was tuned; start the command again")
    best = queries.program(parts.database.connection, strategy.best)
    number = best["duplicate_of"] or strategy.best  # a program that the run already had
    found = Tuned(strategy.start, number, strategy.tuning.best[0], strategy.tuning.results)
    if "validation" in parts.splits:
        parts.status.phase = "validating"
        await evaluate_all(parts, dict.fromkeys((found.start, found.best)), "validation")
    return found
