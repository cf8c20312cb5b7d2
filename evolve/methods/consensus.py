"""Consensus merging: keeping the entries that matter to enough experts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, per_tensor, within
from evolve.methods.sums import added, weighted


def consensus(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    threshold: float = 0.4,
    agreement: int = 2,
    scale: float = 1.0,
) -> Tensor:
    """``base + scale * m * sum_i w_i d_i`` where m is 1 if at least ``agreement`` experts need the entry, else 0.

    Expert i needs an entry where ``|d_i| >= threshold * |sum_j w_j d_j - d_i|`` with ``d_i = x_i - base`` (the paper's
    TALL masks; it tunes the threshold between 0.2 and 0.6). Elementwise. Weights default to 1 each. Source: Localizing
    task information (Consensus TA), arXiv 2405.07813. Not in mergekit.
    """
    within("threshold", threshold, 0, math.inf)
    deltas = differences("consensus", base, tensors)
    within("agreement", agreement, 0, len(deltas))
    together = weighted(deltas, per_tensor("weights", weights, len(deltas)))
    needed = added([(delta.abs() >= threshold * (together - delta).abs()).float() for delta in deltas])
    return base + torch.where(needed >= agreement, together, 0.0) * scale
