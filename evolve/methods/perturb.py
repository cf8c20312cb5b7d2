"""Random mutation of a tensor, as evolution strategies draw it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from evolve.methods.arguments import within


def perturb(tensor: Tensor, sigma: float, rank: int | None = None) -> Tensor:
    """``x + sigma E`` with E standard normal, or ``x + sigma / sqrt(rank) A B^T`` of low rank for a matrix.

    A (rows, rank) and B (columns, rank) are standard normal; ``rank=None`` and tensors that are not 2-D get full rank.
    In a recipe the noise is seeded per site and draw, and ``torch.manual_seed(n)`` before the call chooses another
    mutation. ``sigma`` is in units of the weights. Raises ValueError for a negative sigma or a rank outside 1 to the
    smaller side. Source: evolution strategies, arXiv 1703.03864; low rank: EGGROLL, arXiv 2511.16652.
    """
    within("sigma", sigma, 0, math.inf)
    if rank is None or tensor.ndim != 2:
        return tensor + torch.randn_like(tensor) * sigma
    rows, columns = tensor.shape
    within("rank", rank, 1, min(rows, columns))
    left = torch.randn(rows, rank, device=tensor.device)
    right = torch.randn(columns, rank, device=tensor.device)
    return tensor + left @ right.T * (sigma / math.sqrt(rank))
