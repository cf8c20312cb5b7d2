"""Knobs: named numbers in a program, with bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, overload

from evolve.errors import RecipeError, SandboxCrash


@dataclass(frozen=True)
class Knob:
    """A tunable number (or, for a wide knob, several) with its inclusive bounds."""

    name: str
    value: float | tuple[float, ...]
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["value"] = list(self.value) if isinstance(self.value, tuple) else self.value
        return data


MAX_KNOBS = 10_000
MAX_NAME_CHARACTERS = 512


def read_knobs(data: object) -> list[Knob]:
    """The knobs in plain data from elsewhere. Raises SandboxCrash for anything that ``Knob.to_dict`` never made."""
    if not isinstance(data, list) or len(data) > MAX_KNOBS or not all(map(_is_knob, data)):
        raise SandboxCrash("malformed reply: its knobs are not knobs")
    values = [entry["value"] for entry in data]
    return [
        Knob(entry["name"], tuple(value) if isinstance(value, list) else value, entry["low"], entry["high"])
        for entry, value in zip(data, values, strict=True)
    ]


def _is_knob(data: object) -> bool:
    if not isinstance(data, dict) or data.keys() != Knob.__dataclass_fields__.keys():
        return False
    name, value, low, high = (data[key] for key in ("name", "value", "low", "high"))
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(number, float) and math.isfinite(number) for number in (low, high, *numbers)):
        return False
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and all(low <= n <= high for n in numbers)


_REGISTRY: ContextVar[dict[str, Knob] | None] = ContextVar("knobs", default=None)


@contextmanager
def recording() -> Iterator[dict[str, Knob]]:
    """Collects every knob asked for inside the block, by name in order of first use."""
    registry: dict[str, Knob] = {}
    token = _REGISTRY.set(registry)
    try:
        yield registry
    finally:
        _REGISTRY.reset(token)


@overload
def knob(name: str, value: float, *, low: float, high: float) -> float: ...
@overload
def knob(name: str, value: Sequence[float], *, low: float, high: float) -> list[float]: ...
def knob(name: str, value: float | Sequence[float], *, low: float, high: float) -> float | list[float]:
    """A number of the program that may be tuned within ``low..high``; returns ``value`` (a list for a wide knob).

    Raises RecipeError for a value outside the bounds and for a name that is used twice with different numbers.
    """
    if not isinstance(name, str) or not name:
        raise RecipeError(f"knob: the first argument must be its name, not {name!r}")
    wide = isinstance(value, (list, tuple))
    numbers = tuple(_number(name, item) for item in (value if wide else (value,)))  # type: ignore[union-attr]
    low, high = _number(name, low), _number(name, high)
    if not low < high:
        raise RecipeError(f"knob {name!r}: low = {low} must be below high = {high}")
    if not numbers:
        raise RecipeError(f"knob {name!r}: a wide knob needs at least one number")
    for number in numbers:
        if not low <= number <= high:
            raise RecipeError(f"knob {name!r}: {number} is outside {low}..{high}; move the value or the bounds")
    made = Knob(name, numbers if wide else numbers[0], low, high)
    registry = _REGISTRY.get()
    if registry is not None and registry.setdefault(name, made) != made:
        raise RecipeError(f"knob {name!r} is used twice, as {registry[name]} and {made}; give one of them another name")
    return list(numbers) if wide else numbers[0]


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RecipeError(f"knob {name!r}: {value!r} is not a finite number; write literals")
    return float(value)
