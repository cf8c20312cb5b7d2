"""Behaviour descriptors and the fixed grid they span."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolve.errors import EvaluatorError, ProblemError

CellIndex = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeatureAxis:
    """One axis of the grid: ``bins`` equal bins from ``low`` to ``high``, which never move during a run."""

    name: str
    low: float
    high: float
    bins: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high and self.bins >= 1):
            raise ProblemError(
                f"feature {self.name!r} has low {self.low}, high {self.high}, bins {self.bins}; "
                "it needs low < high and at least one bin"
            )

    def bin_of(self, value: float) -> int:
        """The bin of a value; what lies outside the bounds goes into the first or last bin."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return min(int(share * self.bins), self.bins - 1)


def cell_of(axes: Sequence[FeatureAxis], features: Mapping[str, float]) -> CellIndex:
    """The cell of a program, one bin per axis. Raises EvaluatorError when a feature is missing or not finite."""
    index = []
    for axis in axes:
        value = features.get(axis.name)
        if value is None or not math.isfinite(value):
            given = ", ".join(sorted(features)) or "none"
            raise EvaluatorError(
                f"the evaluation has {'no feature' if value is None else f'{value!r} for feature'} {axis.name!r} "
                f"(its features: {given}); return a finite number for every feature of problem.toml"
            )
        index.append(axis.bin_of(float(value)))
    return tuple(index)


def cell_key(cell: CellIndex) -> str:
    """A cell as the database writes it: ``3,0``; ``all`` for a grid without axes."""
    return ",".join(map(str, cell)) or "all"


def parse_key(key: str) -> CellIndex:
    """The inverse of ``cell_key``."""
    return () if key == "all" else tuple(int(part) for part in key.split(","))
