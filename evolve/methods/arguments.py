"""Checks that the methods share."""

from __future__ import annotations

from collections.abc import Sequence


def per_tensor(name: str, numbers: float | Sequence[float] | None, count: int, default: float = 1.0) -> list[float]:
    """One number per tensor from a list, one number for all, or None for the default; ValueError for a wrong count."""
    if numbers is None:
        return [default] * count
    if isinstance(numbers, (int, float)):
        return [numbers] * count
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} {name} for {count} tensors; give one {name} per tensor")
    return list(numbers)
