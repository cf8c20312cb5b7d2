"""Puts a run together: prepares donors, makes or opens the folder, starts workers and sandbox."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve import __version__
from evolve.config import RunConfig
from evolve.loop import folder as folders
from evolve.loop.inputs import compare, digests
from evolve.loop.observer import Observer, Status
from evolve.loop.parts import Parts
from evolve.loop.strategy import strategy_of
from evolve.loop.tasks import note_tasks
from evolve.problem import Problem
from evolve.resources import cache_folder
from evolve.site import Site
from evolve.sources import AlignedSource, parse_sources

if TYPE_CHECKING:
    from evolve.evaluate.pool import WorkerPool
    from evolve.propose.ensemble import Ensemble
    from evolve.sandbox import Sandbox
    from evolve.search.archive import Archive
    from evolve.store.database import Database


@dataclass(frozen=True)
class Intent:
    """A run that is about to start or to go on; ``donors`` are paths given in place of the problem's.

    ``accept_changes`` lets it go on where what its scores depend on has changed (see evolve.loop.inputs).
    """

    folder: Path
    problem: Problem
    config: RunConfig
    donors: dict[str, str]
    resumed: bool
    accept_changes: bool = False


def fresh(problem: Problem, config: RunConfig, donors: dict[str, str], root: Path, name: str | None = None) -> Intent:
    """A new run of ``problem`` in ``root/name``. Raises RunError when that folder is already a run."""
    folder = root / (name or folders.new_id(problem, config.seed, root))
    if folder.exists():
        raise folders.taken(folder)
    return Intent(folder, problem.with_donors(donors), config, donors, resumed=False)


def existing(folder: Path) -> Intent:
    """A run that goes on with its own problem and settings."""
    from evolve.store import queries

    with queries.reading(folder) as connection:
        run = queries.summary(connection, folder)
    problem, config = folders.restore(folder, run["problem"], run["profile"], run["config"])
    return Intent(folder, problem, config, run["config"].get("donors", {}), resumed=True)


async def prepared(problem: Problem, observer: Observer) -> Path | None:
    """The folder made by the problem's prepare hook, built now unless it is there; None without a hook."""
    if not problem.profile.prepare:
        return None
    from evolve.evaluate.preparation import run_hook

    return await run_hook(
        problem.folder / problem.profile.prepare, problem.profile.settings, cache_folder(), problem.name,
        problem.profile_name, observer.preparation,
    )  # fmt: skip


def worker_setup(problem: Problem, config: RunConfig, made: Path | None) -> dict[str, Any]:
    """The first frame that workers get (see evolve.evaluate.worker)."""
    statistics = problem.statistics(made)
    return {
        "kind": problem.kind,
        "evaluator": str(problem.evaluator.absolute()),
        "donors": problem.donors(made),
        **problem.vocabulary,
        "tokenizer": problem.profile.tokenizer or None,
        "splits": problem.splits(made),
        "tasks": problem.tasks,
        "statistics": statistics.to_dict() if statistics else None,
        "settings": problem.profile.settings,
        "stages": [asdict(stage) for stage in problem.stages if stage.kind == "metric"],
        "device": config.evaluation.device,
        "dtype": config.evaluation.dtype,
        "provenance": config.evaluation.provenance,
        "threads": 1,
        "sandbox": {
            "cpu_s": config.sandbox.cpu_s,
            "wall_s": config.sandbox.wall_s,
            "memory_bytes": config.sandbox.memory_mb * 2**20,
        },
    }


@asynccontextmanager
async def assembled(intent: Intent, observer: Observer) -> AsyncIterator[Parts]:
    """The running machinery of a run. A new run whose machinery cannot start leaves no folder behind."""
    ensemble = ensemble_of(intent.config)
    made = await prepared(intent.problem, observer)
    problem, database = _opened(intent, made)
    began = intent.resumed
    try:
        aligns = any(isinstance(source, AlignedSource) for source in parse_sources(problem.profile.donors).values())
        observer.message(
            "starting workers" + ("; what they align takes long once, then it is cached" if aligns else "")
        )
        async with _machines(intent, problem, made) as (pool, sandbox):
            changed = compare(database, digests(problem, made, pool.info.get("donors", {})), intent.accept_changes)
            if changed:
                observer.message(f"{', '.join(changed)} changed: the elites are evaluated again")
            note_tasks(database, problem, "search")
            parts = _parts(intent, problem, observer, database, pool, sandbox, ensemble)
            for note in (*machine_notes(pool, sandbox), *pool.info.get("notes", [])):
                observer.message(note)
            strategy_of(parts)  # what the settings ask of it in vain is told before anything is kept
            began = True
            try:
                yield parts
            finally:
                await ensemble.aclose()
    finally:
        database.close()
        if not began:
            shutil.rmtree(intent.folder, ignore_errors=True)


def _opened(intent: Intent, made: Path | None) -> tuple[Problem, Database]:
    """The run's own copy of the problem, and its database.

    That of a new run comes last: a folder with a database is a run that can go on, whenever its start was cut off.
    """
    from evolve.store.database import Database

    settings = folders.settings(intent.problem.kind, intent.config, intent.donors, made)
    if intent.resumed:
        database = Database.open(intent.folder)
        database.set_config(settings)
        return intent.problem, database
    folders.claim(intent.folder)
    try:
        return folders.snapshot(intent.problem, intent.folder), _created(intent, settings)
    except BaseException:
        shutil.rmtree(intent.folder, ignore_errors=True)
        raise


def _created(intent: Intent, settings: dict[str, Any]) -> Database:
    from evolve.store.database import Database
    from evolve.store.records import RunRecord

    problem = intent.problem
    record = RunRecord(
        id=intent.folder.name,
        problem=problem.name,
        profile=problem.profile_name,
        digests=problem.digest(),
        config=settings,
        seed=intent.config.seed,
        version=__version__,
        direction="minimize" if problem.sign < 0 else "maximize",
    )
    return Database.create(intent.folder, record)


@asynccontextmanager
async def _machines(intent: Intent, problem: Problem, made: Path | None) -> AsyncIterator[tuple[WorkerPool, Sandbox]]:
    """Workers and sandbox, started side by side."""
    from evolve.evaluate.pool import WorkerPool, workers

    setup = worker_setup(problem, intent.config, made)
    count = intent.config.evaluation.workers or workers(setup)
    with _sandbox(problem.kind, intent.config) as sandbox:
        pool = WorkerPool(setup, count, intent.folder / "workers")
        try:
            await pool.start()
            sandbox.level.require(intent.config.sandbox.minimum)
            yield pool, sandbox
        finally:
            await pool.close()


def machine_notes(pool: WorkerPool, sandbox: Sandbox) -> list[str]:
    """What is at work: workers, device, and how far the sandbox protects."""
    device = pool.info.get("device", "cpu")
    workers = "1 worker" if pool.count == 1 else f"{pool.count} workers"
    level = sandbox.level
    return [f"{'workers':<10} {workers} on {device}", f"{'sandbox':<10} {level.name}: {level.describe()}"]


def _sandbox(kind: str, config: RunConfig) -> Sandbox:
    """Where recipes are traced. Ordinary programs run in the workers' own; this one then tells the level."""
    from evolve.sandbox import Sandbox, SandboxLimits

    limits = SandboxLimits(
        cpu_s=config.sandbox.cpu_s, wall_s=config.sandbox.wall_s, memory_bytes=config.sandbox.memory_mb * 2**20
    )
    if kind == "program":
        return Sandbox(entry="evolve.sandbox.program:serve", limits=limits)
    return Sandbox(entry="evolve.recipe.trace:serve", preload=("torch", "evolve.methods"), limits=limits)


def _parts(
    intent: Intent,
    problem: Problem,
    observer: Observer,
    database: Database,
    pool: WorkerPool,
    sandbox: Sandbox,
    ensemble: Ensemble,
) -> Parts:
    config, status = intent.config, Status()
    status.evaluations_limit = config.budget.evaluations
    return Parts(
        folder=intent.folder,
        problem=problem,
        config=config,
        database=database,
        pool=pool,
        sandbox=sandbox,
        ensemble=ensemble,
        archive=archive_of(problem, config, database),
        observer=observer,
        status=status,
        sites=[Site.from_dict(site) for site in pool.info.get("sites", [])],
        donors=pool.info.get("donors", {}),
        splits=pool.info.get("items", {}),
    )


def ensemble_of(config: RunConfig) -> Ensemble:
    """The proposers that the settings name. Raises UsageError for an unknown one."""
    from evolve.propose.ensemble import Ensemble
    from evolve.propose.language_model import PatchMix

    told = config.proposals
    mix = PatchMix(told.diff, told.full, told.cross)
    return Ensemble.parse(told.llm, config.models, patches=mix, attempts=told.attempts)


def archive_of(problem: Problem, config: RunConfig, database: Database) -> Archive:
    """The archive as the database remembers it; empty for a new run."""
    from evolve.loop.archiving import refill
    from evolve.search.archive import Archive

    archive = Archive(problem.axes, config.search.islands)
    refill(archive, database)
    return archive
