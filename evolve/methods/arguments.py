"""Checks that the methods share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


def per_tensor(name: str, numbers: float | Sequence[float] | None, count: int, default: float = 1.0) -> list[float]:
    """One number per tensor from a list, one number for all, or None for the default; ValueError for a wrong count."""
    if numbers is None:
        return [default] * count
    if isinstance(numbers, (int, float)):
        return [numbers] * count
    if isinstance(numbers, str) or any(isinstance(number, str) for number in numbers):
        raise ValueError(f"{name} is {numbers!r}; give a number, or a list with one for each tensor")
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} {name} for {count} tensors; give one number per tensor")
    return list(numbers)


def within(name: str, value: float, low: float, high: float) -> float:
    """The value; ValueError where it is not between the bounds, which belong to the range."""
    if isinstance(value, str) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; it must lie between {low:g} and {high:g}")
    return value


def fractions(name: str, numbers: float | Sequence[float], count: int) -> list[float]:
    """One number between 0 and 1 per tensor, from a list or one number for all."""
    return [within(name, number, 0, 1) for number in per_tensor(name, numbers, count)]


def shares(weights: float | Sequence[float] | None, count: int) -> list[float]:
    """Weights divided by their sum; ValueError where that is 0."""
    factors = per_tensor("weights", weights, count)
    total = sum(factors)
    if total == 0:
        raise ValueError(f"the weights {factors} sum to 0; use others")
    return [factor / total for factor in factors]


def differences(method: str, base: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Task vectors ``x_i - base``; ValueError where there is none."""
    if not tensors:
        raise ValueError(f"{method} needs at least one tensor besides the base")
    return [tensor - base for tensor in tensors]


def need_donors(method: str, tensors: Mapping[str, Tensor]) -> None:
    """ValueError for an empty mapping of donors."""
    if not tensors:
        raise ValueError(f"{method} needs at least one donor, as in {{'ja': ja, 'math': math}}")
