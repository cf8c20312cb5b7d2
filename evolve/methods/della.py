"""DELLA: dropping differences at random, the small ones more often."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, fractions, per_tensor
from evolve.methods.dare import Rescale, check_rescale, match_l1
from evolve.methods.sums import weighted
from evolve.methods.ties import elect


def magprune(delta: Tensor, density: float, epsilon: float = 0.3, rescale: Rescale = True) -> Tensor:
    """Keeps each entry with a probability that rises linearly with its rank by magnitude within its row.

    The probabilities of a row run over a width of ``epsilon`` around ``density``, which is their mean; a tensor of one
    dimension is one row. ``rescale=True`` divides every entry by its own probability, ``"l1"`` restores the tensor's
    L1 norm with one factor (mergekit's way), False does neither. Raises ValueError where the probabilities would leave
    0..1.
    """
    check_rescale(rescale)
    low, high = density - epsilon / 2, density + epsilon / 2
    if epsilon < 0 or low < 0 or high > 1:
        raise ValueError(
            f"density {density:g} with epsilon {epsilon:g} gives probabilities from {low:g} to {high:g}; "
            "epsilon must be at least 0 and density +- epsilon / 2 between 0 and 1"
        )
    if low == 1:
        return delta
    ranks = delta.abs().argsort(dim=-1, stable=True).argsort(dim=-1, stable=True)  # 0 is the smallest of its row
    probability = (ranks.float() + 0.5) * (epsilon / delta.shape[-1]) + low
    kept = torch.where(torch.rand_like(delta) < probability, delta, 0.0)
    if rescale == "l1":
        return match_l1(kept, delta)
    # A probability of 0 keeps nothing, so that what it is divided by does not matter.
    return kept / torch.where(probability > 0, probability, 1.0) if rescale else kept


def _pruned(
    base: Tensor,
    tensors: Sequence[Tensor],
    density: Sequence[float] | float,
    epsilon: Sequence[float] | float,
    rescale: Rescale,
) -> list[Tensor]:
    deltas = differences("della", base, tensors)
    densities, widths = fractions("density", density, len(deltas)), per_tensor("epsilon", epsilon, len(deltas))
    return [magprune(*arguments, rescale) for arguments in zip(deltas, densities, widths, strict=True)]


def della(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.5,
    epsilon: Sequence[float] | float = 0.3,
    rescale: Rescale = True,
    scale: float = 1.0,
    normalize: bool = True,
) -> Tensor:
    """``base + scale * elect(magprune(x_i - base))``: drops by rank within rows, then elects signs as TIES does.

    An entry of rank r among n by magnitude (0 the smallest) is kept with probability ``density - epsilon / 2 + epsilon
    (r + 1/2) / n`` and divided by it. Weights default to 1 each. Source: DELLA-Merging, arXiv 2406.11617, whose ranks
    start at 0; half a rank more makes ``density`` the mean probability. mergekit's ``della`` counts ``epsilon`` to each
    side of the density (its 0.15 is 0.3 here) and restores L1 norms instead: ``rescale="l1"``. Random masks are seeded
    per site, so they are not mergekit's.
    """
    factors = [float(weight) for weight in per_tensor("weights", weights, len(tensors))]
    return base + elect(_pruned(base, tensors, density, epsilon, rescale), factors, normalize) * scale


def della_linear(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.5,
    epsilon: Sequence[float] | float = 0.3,
    rescale: Rescale = True,
    scale: float = 1.0,
) -> Tensor:
    """``base + scale * sum_i w_i magprune(x_i - base)``: as ``della`` without the election of signs.

    mergekit's ``della_linear`` with ``normalize: false``.
    """
    factors = per_tensor("weights", weights, len(tensors))
    return base + weighted(_pruned(base, tensors, density, epsilon, rescale), factors) * scale
