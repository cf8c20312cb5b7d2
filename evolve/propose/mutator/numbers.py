"""Random steps of numbers inside their bounds, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_STEP, LARGEST_STEP = 0.03, 0.35
"""Standard deviations of a step, as shares of a knob's range."""

_LOG_RATIO = 20.0
_SMALLEST_LOG = 1e-9


@dataclass(frozen=True)
class Range:
    """The bounds of a number; ``unit`` maps it to 0..1, on a log scale when the bounds span a factor of 20."""

    low: float
    high: float
    integer: bool = False

    @property
    def logarithmic(self) -> bool:
        return self.low >= _SMALLEST_LOG and self.high / self.low >= _LOG_RATIO

    def unit(self, value: float) -> float:
        if self.high <= self.low:
            return 0.0
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, unit: float) -> float:
        """The number at ``unit``, rounded to about a thousandth of the range (or to a whole number)."""
        unit = reflect(unit)
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** unit
            digits = 3 - math.floor(math.log10(value))
        else:
            value = self.low + unit * (self.high - self.low)
            digits = 3 - math.floor(math.log10(self.high - self.low)) if self.high > self.low else 3
        value = min(max(round(value, digits), self.low), self.high)
        return float(round(value)) if self.integer else value


def reflect(unit: float) -> float:
    """A point outside 0..1 mirrored back at the bounds."""
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit


def step_size(rng: np.random.Generator) -> float:
    """A standard deviation drawn log-uniformly between the smallest and the largest step."""
    return float(np.exp(rng.uniform(math.log(SMALLEST_STEP), math.log(LARGEST_STEP))))


def text_of(value: float, integer: bool = False) -> str:
    """A number as source text: ``0.61``, ``-0.25``, ``3``."""
    return str(round(value)) if integer else repr(float(value))


def shown(value: float | Sequence[float]) -> str:
    """A number or a list of them as a description shows it."""
    if isinstance(value, Sequence):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}"
