"""ComPEFT: differences as signs and one size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, fractions, per_tensor
from evolve.methods.sums import weighted
from evolve.methods.ties import trim


def compress(delta: Tensor, density: float, alpha: float = 1.0) -> Tensor:
    """``alpha * std(d)`` with d's sign at the ``int(density * n)`` entries of largest magnitude, zero elsewhere."""
    kept = trim(delta, density)
    deviation = (delta - delta.mean()).norm() * (alpha / math.sqrt(delta.numel()))
    return torch.where(kept > 0, deviation, torch.where(kept < 0, -deviation, 0.0))


def compeft(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.2,
    alpha: float = 1.0,
    scale: float = 1.0,
) -> Tensor:
    """``base + scale * sum_i w_i alpha std(d_i) sign(trim(d_i))`` with ``d_i = x_i - base``: ternary task vectors.

    ``density`` is the fraction of largest magnitudes that keep their sign (paper: 0.05 to 0.5), ``alpha`` the size in
    standard deviations of the whole difference (paper: 0.5 to 10), both per tensor. Weights default to 1 each. Source:
    ComPEFT, arXiv 2311.13171, which compresses adapters. Not in mergekit.
    """
    deltas = differences("compeft", base, tensors)
    factors = per_tensor("weights", weights, len(deltas))
    densities = fractions("density", density, len(deltas))
    compressed = [compress(delta, kept, alpha) for delta, kept in zip(deltas, densities, strict=True)]
    return base + weighted(compressed, factors) * scale
