"""The machinery of one run, put together by ``evolve.loop.start`` and used by the engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.config import RunConfig
from evolve.loop.observer import Observer, Status
from evolve.problem import Problem
from evolve.site import Site

if TYPE_CHECKING:
    from evolve.evaluate.pool import WorkerPool
    from evolve.propose.ensemble import Ensemble
    from evolve.sandbox import Sandbox
    from evolve.search.archive import Archive
    from evolve.store.database import Database


@dataclass
class Parts:
    """Everything the engine works with; it owns none of it."""

    folder: Path
    problem: Problem
    config: RunConfig
    database: Database
    pool: WorkerPool
    sandbox: Sandbox
    ensemble: Ensemble
    archive: Archive
    observer: Observer
    status: Status
    sites: Sequence[Site]
    donors: Mapping[str, Mapping[str, Any]]
    splits: Mapping[str, int | None]
    tracing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(len(os.sched_getaffinity(0))))
    """As many recipes are traced at once as there are cores: a time limit must not depend on how many wait."""

    @property
    def donor_layers(self) -> dict[str, int]:
        """Number of layers of every donor."""
        return {name: int(facts["layers"]) for name, facts in self.donors.items()}

    @property
    def donor_infos(self) -> dict[str, dict[str, Any]]:
        """What tracing is told of every donor (see evolve.recipe.trace.DonorInfo), as plain data."""
        return {
            name: {"layers": int(facts["layers"]), "statistics": list(facts.get("statistics", ()))}
            for name, facts in self.donors.items()
        }
