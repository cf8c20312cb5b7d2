"""Evo-Merging's mixture: sparse differences with coefficients of either sign."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from evolve.methods.arguments import differences, fractions, per_tensor, within
from evolve.methods.sums import weighted
from evolve.methods.ties import trim

LARGEST_COEFFICIENT = 1.5


def sparse_sign(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 1.0,
) -> Tensor:
    """``base + sum_i w_i trim(x_i - base)``: the largest differences of each expert, added or subtracted.

    ``density`` (alpha in the source) is the fraction of largest magnitudes kept, per tensor, 0 to 1; ``weights`` (beta)
    lie between -1.5 and 1.5 and default to 1 each, a negative one takes an expert's direction out. Others raise
    ValueError. Source: Evo-Merging, which tunes first alpha, then beta with CMA-ES, and sparsifies one factor of LoRA
    adapters where this takes whole differences. Not in mergekit.
    """
    deltas = differences("sparse_sign", base, tensors)
    factors = per_tensor("weights", weights, len(deltas))
    for factor in factors:
        within("a weight", factor, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)
    densities = fractions("density", density, len(deltas))
    return base + weighted([trim(delta, kept) for delta, kept in zip(deltas, densities, strict=True)], factors)
