"""SCE: select by variance, calculate weights, erase minority signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from evolve.methods.arguments import differences, within
from evolve.methods.order import at_least
from evolve.methods.sums import added, mean

SMALLEST_DENOMINATOR = 1e-8

Among = Literal["all", "varying"]


def _varying(deltas: Sequence[Tensor], share: float, among: Among) -> Tensor:
    """Where the deltas vary most, bool."""
    centre = mean(deltas)
    variance = added([(delta - centre) * (delta - centre) for delta in deltas])
    count = variance.numel()
    if among == "all":
        return at_least(variance, max(int(share * count), 1))
    # How many positions are selected depends on values, so the threshold is looked up in the sorted ones.
    kept = (share * (variance > 0).sum()).floor().clamp(min=1.0)
    ascending = variance.flatten().sort().values
    return variance >= ascending[(count - kept).long().reshape(1)]


def sce(base: Tensor, tensors: Sequence[Tensor], select_topk: float = 1.0, among: Among = "all") -> Tensor:
    """``base + sum_i w_i d_i / sum_i w_i`` over the entries d_i that have the majority's sign.

    The d_i are the task vectors at the fraction ``select_topk`` (of all positions, at least one) where they vary most,
    zero elsewhere; ``w_i = mean(d_i^2) / sum_j mean(d_j^2)`` per tensor; the majority's sign is that of ``sum_i d_i``,
    plus for zero, and entries of the other sign are left out of both sums. Source: FuseChat, arXiv 2408.07990.
    mergekit's ``sce`` takes the fraction of the positions whose variance is not zero: ``among="varying"``, which has to
    sort.
    """
    within("select_topk", select_topk, 0, 1)
    if among not in ("all", "varying"):
        raise ValueError(f"among is {among!r}; use 'all' or 'varying'")
    deltas = differences("sce", base, tensors)
    if select_topk < 1 and len(deltas) > 1:
        selected = _varying(deltas, select_topk, among)
        deltas = [torch.where(selected, delta, 0.0) for delta in deltas]
    energies = [(delta * delta).mean() for delta in deltas]
    total = added(energies)
    total = torch.where(total > 0, total, 1.0)
    positive = added(deltas) >= 0
    summed, divisor = [], []
    for delta, energy in zip(deltas, energies, strict=True):
        weight = torch.where(torch.where(positive, delta > 0, delta < 0), energy / total, 0.0)
        summed.append(delta * weight)
        divisor.append(weight)
    weights = added(divisor)
    return base + added(summed) / torch.where(weights < SMALLEST_DENOMINATOR, 1.0, weights)
