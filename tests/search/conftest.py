from __future__ import annotations

from collections.abc import Callable

import pytest

from evolve.search.archive import Archive, Program
from evolve.search.features import FeatureAxis

AXES = (FeatureAxis("x", 0.0, 1.0, 10), FeatureAxis("y", 0.0, 1.0, 10))


@pytest.fixture
def axes() -> tuple[FeatureAxis, ...]:
    return AXES


@pytest.fixture
def make() -> Callable[..., Program]:
    """make(id, score, x, y=0.0, **fields)"""

    def make(number: int, score: float, x: float, y: float = 0.0, **fields: object) -> Program:
        return Program(number, score, {"x": x, "y": y}, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def archive(make: Callable[..., Program]) -> Archive:
    """Ten elites on island 0 with scores 0.0 to 0.9, one in each column; island 1 is empty."""
    filled = Archive(AXES, islands=2)
    for number in range(10):
        filled.add(make(number + 1, number / 10, number / 10 + 0.05))
    return filled
