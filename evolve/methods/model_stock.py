"""Model Stock: how far to go from the base towards the average, from the angles between the experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences
from evolve.methods.sums import added, mean

SMALLEST_NORM = 1e-8
SMALLEST_DENOMINATOR = 1e-6


def _dot(left: Tensor, right: Tensor, rows: bool) -> Tensor:
    return (left * right).sum(-1, keepdim=True) if rows else (left * right).sum()


def model_stock(base: Tensor, tensors: Sequence[Tensor], filter_wise: bool = False) -> Tensor:
    """``t mean(x_i) + (1 - t) base`` with ``t = N cos / (1 + (N - 1) cos)``, cos the mean cosine of the task vectors.

    Cosines are those of whole tensors, or of each row (filter) where ``filter_wise`` and the tensor has rows. Needs at
    least two tensors besides the base (ValueError). Source: Model Stock, arXiv 2403.19522, for two models; for more the
    cosines of all pairs are averaged, as in mergekit's ``model_stock``. Where task vectors cancel, so that the
    denominator is 0, t is 0.
    """
    if len(tensors) < 2:
        raise ValueError(f"model_stock got {len(tensors)} tensors besides the base; it needs at least two")
    deltas = differences("model_stock", base, tensors)
    count, rows = len(deltas), filter_wise and base.ndim > 1
    norms = [_dot(delta, delta, rows).sqrt().clamp(min=SMALLEST_NORM) for delta in deltas]
    cosines = [
        _dot(deltas[i], deltas[j], rows) / (norms[i] * norms[j]) for i in range(count) for j in range(i + 1, count)
    ]
    cosine = (added(cosines) / len(cosines)).clamp(-1.0, 1.0)
    denominator = 1.0 + (count - 1) * cosine
    cancelled = denominator < SMALLEST_DENOMINATOR
    t = torch.where(cancelled, 0.0, count * cosine / torch.where(cancelled, 1.0, denominator))
    return base + mean(deltas) * t
