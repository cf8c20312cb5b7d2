"""Model Breadcrumbs: dropping the smallest and the largest differences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, fractions, per_tensor
from evolve.methods.order import kth
from evolve.methods.sums import weighted
from evolve.methods.ties import elect


def trim_both(delta: Tensor, density: float, gamma: float) -> Tensor:
    """Keeps ``int(density * n)`` entries below the ``int(gamma * n)`` of largest magnitude, zero elsewhere.

    Where both do not fit, fewer of the largest are dropped. Entries as large as the smallest or largest kept are kept
    too. A density that keeps nothing gives zeros.
    """
    count = delta.numel()
    kept = int(density * count)
    if kept >= count:
        return delta
    if kept == 0:
        return torch.zeros_like(delta)
    below = max(count - kept - int(gamma * count), 0)
    magnitude = delta.abs()
    inside = (magnitude >= kth(magnitude, below + 1)) & (magnitude <= kth(magnitude, below + kept))
    return torch.where(inside, delta, 0.0)


def _trimmed(
    base: Tensor, tensors: Sequence[Tensor], density: Sequence[float] | float, gamma: Sequence[float] | float
) -> list[Tensor]:
    deltas = differences("breadcrumbs", base, tensors)
    densities, gammas = fractions("density", density, len(deltas)), fractions("gamma", gamma, len(deltas))
    return [trim_both(*arguments) for arguments in zip(deltas, densities, gammas, strict=True)]


def breadcrumbs(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.143,
    gamma: Sequence[float] | float = 0.007,
    scale: float = 1.0,
) -> Tensor:
    """``base + scale * sum_i w_i trim_both(x_i - base)``: without the smallest and the ``gamma`` largest differences.

    ``density`` is the fraction kept and ``gamma`` the top fraction dropped, per tensor; the defaults are the paper's
    percentiles 85 and 99.3. Weights default to 1 each; the paper scales by about 0.3. Source: Model Breadcrumbs,
    arXiv 2312.06795. As mergekit's ``breadcrumbs`` (defaults 1 and 0.01 there), but equal magnitudes at a threshold are
    all kept.
    """
    factors = per_tensor("weights", weights, len(tensors))
    return base + weighted(_trimmed(base, tensors, density, gamma), factors) * scale


def breadcrumbs_ties(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.143,
    gamma: Sequence[float] | float = 0.007,
    scale: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """``base + scale * elect(trim_both(x_i - base))``: the trimming of Breadcrumbs, then the sign election of TIES.

    As mergekit's ``breadcrumbs_ties``; arguments as in ``breadcrumbs``, ``normalize`` as in ``ties``.
    """
    factors = [float(weight) for weight in per_tensor("weights", weights, len(tensors))]
    return base + elect(_trimmed(base, tensors, density, gamma), factors, normalize) * scale
