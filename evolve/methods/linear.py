"""Weighted average (model soup)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from evolve.methods.arguments import per_tensor


def linear(tensors: Sequence[Tensor], weights: Sequence[float] | float | None = None, normalize: bool = True) -> Tensor:
    """``sum_i w_i x_i``, divided by ``sum_i w_i`` when ``normalize``; elementwise.

    Weights default to 1 each. Raises ValueError when normalised weights sum to zero. Source: Model soups,
    arXiv 2203.05482. As in mergekit's ``linear``.
    """
    factors = per_tensor("weights", weights, len(tensors))
    if not factors:
        raise ValueError("linear needs at least one tensor")
    total = sum(factors)
    if normalize and total == 0:
        raise ValueError(f"the weights {factors} sum to 0; use normalize=False or other weights")
    merged = tensors[0] * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        merged = merged + tensor * factor
    return merged / total if normalize else merged
