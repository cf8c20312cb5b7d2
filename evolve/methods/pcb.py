"""PCB: weighing every entry by its size and by its agreement with the other experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, per_tensor, within
from evolve.methods.order import kth, quantile
from evolve.methods.sums import added

TAIL = 1e-4
SMALLEST_DENOMINATOR = 1e-12


def _unit(values: Tensor, low: Tensor, high: Tensor, flat: float) -> Tensor:
    """The values with ``low..high`` mapped to 0..1; ``flat`` where all are equal."""
    spread = high - low
    return torch.where(spread > 0, (values - low) / torch.where(spread > 0, spread, 1.0), flat)


def pcb(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: float = 0.1,
    scale: float = 1.0,
) -> Tensor:
    """``base + scale * sum_i b_i w_i d_i / sum_i b_i`` with b_i from parameter competition within and between experts.

    ``d_i = x_i - base``, magnitudes clipped at the 0.01% smallest and largest for the weighing only; ``b_i = exp(N
    u_i^2) tanh(d_i sum_j d_j)`` with u_i the magnitudes mapped to 0..1 and N the number of experts; of b_i the fraction
    ``density`` of largest entries is kept (at least one) and mapped to 0..1, the rest is 0. Weights
    default to 1 each. Source: PCB-Merging, arXiv 2410.02396, in the form of its code (the paper's formula has softmax
    where this has exp and tanh); there the order statistics are those of the whole model, here of the tensor. Not in
    mergekit.
    """
    within("density", density, 0, 1)
    deltas = differences("pcb", base, tensors)
    factors = per_tensor("weights", weights, len(deltas))
    count = base.numel()
    kept = max(int(density * count), 1)
    sizes, clipped = [], []
    for delta in deltas:
        size = delta.abs()
        low, high = quantile(size, TAIL), quantile(size, 1 - TAIL)
        size = torch.minimum(torch.maximum(size, low), high)
        sizes.append(_unit(size, low, high, 0.0))
        clipped.append(torch.where(delta < 0, -size, size))
    together = added(clipped)
    summed, divisor = [], []
    for delta, size, cut, factor in zip(deltas, sizes, clipped, factors, strict=True):
        balance = (len(deltas) * size * size).exp() * (cut * together).tanh()
        low, high = kth(balance, count - kept + 1), balance.max()
        share = torch.where(balance >= low, _unit(balance, low, high, 1.0), 0.0)
        summed.append(share * delta * factor)
        divisor.append(share)
    return base + added(summed) / added(divisor).clamp(min=SMALLEST_DENOMINATOR) * scale
