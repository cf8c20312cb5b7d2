"""Sums over tensors, added in the order of the list."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def added(tensors: Sequence[Tensor]) -> Tensor:
    """Sum of tensors of one shape."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def weighted(tensors: Sequence[Tensor], weights: Sequence[float | Tensor]) -> Tensor:
    """``sum_i w_i x_i``; weights are numbers or tensors that broadcast."""
    return added([tensor * weight for tensor, weight in zip(tensors, weights, strict=True)])


def mean(tensors: Sequence[Tensor]) -> Tensor:
    """Plain average of tensors of one shape."""
    return added(tensors) / len(tensors)
