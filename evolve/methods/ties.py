"""TIES: trim, elect signs, merge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import per_tensor
from evolve.methods.order import at_least

# Denominators below this come from weights that cancel; nothing is divided by them.
SMALLEST_DENOMINATOR = 1e-8


def trim(delta: Tensor, density: float) -> Tensor:
    """Keeps the ``int(density * n)`` entries of largest magnitude (and those equal to the smallest kept), zero
    elsewhere.

    ``density >= 1`` keeps all, ``int(density * n) <= 0`` none.
    """
    count = delta.numel()
    kept = int(density * count)
    if kept >= count:
        return delta
    if kept <= 0:
        return torch.zeros_like(delta)
    magnitude = delta.abs()
    return torch.where(at_least(magnitude, kept), delta, 0.0)


def elect(deltas: Sequence[Tensor], weights: Sequence[float], normalize: bool) -> Tensor:
    """Sum of the weighted deltas that have the elected sign; divided by the sum of their weights when ``normalize``.

    The elected sign is that of the weighted sum, plus for zero. Entries that are zero vote for nothing.
    """
    weighted = [delta * weight for delta, weight in zip(deltas, weights, strict=True)]
    total = weighted[0]
    for delta in weighted[1:]:
        total = total + delta
    positive = total >= 0
    agreeing = [torch.where(positive, delta > 0, delta < 0) for delta in weighted]
    merged = torch.where(agreeing[0], weighted[0], 0.0)
    for agrees, delta in zip(agreeing[1:], weighted[1:], strict=True):
        merged = merged + torch.where(agrees, delta, 0.0)
    if not normalize:
        return merged
    divisor = torch.where(agreeing[0], weights[0], 0.0)
    for agrees, weight in zip(agreeing[1:], weights[1:], strict=True):
        divisor = divisor + torch.where(agrees, weight, 0.0)
    return merged / torch.where(divisor.abs() < SMALLEST_DENOMINATOR, 1.0, divisor)


def ties(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.2,
    scale: float = 1.0,
    normalize: bool = True,
) -> Tensor:
    """``base + scale * elect(trim(x_i - base))``: trims per tensor, elects a sign per element, averages what agrees.

    ``density`` is the fraction kept, per tensor (the paper trims over the whole model). Weights multiply before the
    signs are elected, a zero sum counts as plus and ``normalize`` divides by the agreeing weights, all as in
    mergekit's ``ties``; unlike mergekit, equal magnitudes at the threshold are all kept and a density that keeps
    nothing gives the base. Source: TIES-Merging, arXiv 2306.01708.
    """
    factors = [float(weight) for weight in per_tensor("weights", weights, len(tensors))]
    if not factors:
        raise ValueError("ties needs at least one tensor besides the base")
    densities = per_tensor("density", density, len(tensors))
    deltas = [trim(tensor - base, kept) for tensor, kept in zip(tensors, densities, strict=True)]
    return base + elect(deltas, factors, normalize) * scale
