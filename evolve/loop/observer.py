"""What a run tells whoever watches it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from evolve.statistics import Interval


@dataclass(frozen=True)
class Improvement:
    """A new best program; scores as the problem states them, not negated."""

    program: int
    evaluations: int
    score: float
    gain: float
    description: str


@dataclass
class Status:
    """The figures of a run, updated in place by the engine; scores as the problem states them."""

    phase: str = "starting"
    evaluations: int = 0
    evaluations_limit: int = 0
    best: int | None = None
    best_score: float | None = None
    interval: Interval | None = None
    cells_filled: int = 0
    cells_total: int = 0
    in_flight: int = 0
    duplicates: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    cost_known: bool = True
    improvements: list[Improvement] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started


class Observer(Protocol):
    """Receives a run's messages; every method returns at once and never raises."""

    def message(self, text: str) -> None:
        """One line that should stay readable."""

    def preparation(self, task: str, done: int, total: int) -> None:
        """Progress of a problem's prepare hook."""

    def update(self, status: Status) -> None:
        """The figures have changed."""

    def improvement(self, found: Improvement) -> None:
        """A new best program."""
