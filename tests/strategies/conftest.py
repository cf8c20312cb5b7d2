"""Settings, real scores of recipes, and a run of a strategy with results out of order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evolve.propose.ensemble import Ensemble
from evolve.search.archive import Archive
from evolve.strategies.base import Ask, Setting, Strategy, Told

LAYERS = 3
DONORS = {"base": LAYERS, "ja": LAYERS, "math": LAYERS}
SEED = """from evolve.methods import task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
low = knob("low", 0.1, low=0.0, high=1.0)
rate = knob("rate", 0.01, low=0.001, high=1.0)


def merge(site, base, ja, math):
    return task_arithmetic(base, [ja, math], [low, rate])


# EVOLVE-BLOCK-END
"""
PLAIN = "def merge(site, ja):\n    return ja\n"


def make_setting(**changes: Any) -> Setting:
    given: dict[str, Any] = {
        "kind": "merge",
        "donors": DONORS,
        "base": "base",
        "layers": LAYERS,
        "roles": ("q_proj",),
        "blocks": ("attention",),
        "statistics": {},
        "task": "a test",
        "seeds": {"plain": PLAIN, "tuned": SEED},
        "seed": 3,
        "ensemble": Ensemble.parse("offline"),
        "archive": Archive(()),
    }
    return Setting(**{**given, **changes})


def drive(
    strategy: Strategy,
    score: Callable[[str], float | None],
    evaluations: int,
    *,
    in_flight: int = 1,
    told: list[Told] | None = None,
) -> list[Told]:
    """Asks and tells as the loop does; ends come in a shuffled order, known texts end as duplicates."""
    told, known, waiting = told if told is not None else [], dict[str, float | None](), list[Ask]()
    first = len(told)
    for number in range(evaluations):
        while len(waiting) < in_flight:
            ask = strategy.ask(np.random.default_rng([7, first + number, len(waiting)]))
            assert ask is not None and ask.source is not None
            waiting.append(ask)
        ask = waiting.pop(int(np.random.default_rng(number).integers(len(waiting))))
        used = ask.source not in known
        value = known.setdefault(ask.source, score(ask.source))
        state = "failed" if value is None else "scored" if used else "duplicate"
        end = Told(1 + len(told), ask.arm, dict(ask.note), ask.source, value, used=used, state=state, patch=ask.patch)
        told.append(end)
        strategy.tell(end)
    return told


@pytest.fixture
def setting() -> Callable[..., Setting]:
    return make_setting


@pytest.fixture
def run() -> Callable[..., list[Told]]:
    return drive
