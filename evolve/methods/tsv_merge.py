"""Task singular vectors: joining the strongest directions of every expert without interference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences
from evolve.methods.singular import orthogonal
from evolve.methods.sums import mean


def tsv_merge(base: Tensor, tensors: Sequence[Tensor], scale: float = 1.0) -> Tensor:
    """``base + scale * U S V`` from the strongest singular triplets of all task vectors, U and V made orthonormal.

    Each of the T task vectors of a matrix of rank r gives its ``r // T`` largest triplets (at least one); their left
    and right vectors are put side by side and replaced by the nearest orthonormal ones. Per tensor; tensors that are
    not 2-D get the mean task vector. Source: Task singular vectors (TSV-M), arXiv 2412.00081. Not in mergekit.
    """
    deltas = differences("tsv_merge", base, tensors)
    if base.ndim != 2:
        return base + mean(deltas) * scale
    kept = max(min(base.shape) // len(deltas), 1)
    left, values, right = [], [], []
    for delta in deltas:
        u, s, v = torch.linalg.svd(delta, full_matrices=False)
        left.append(u[:, :kept])
        values.append(s[:kept])
        right.append(v[:kept])
    u, v = orthogonal(torch.cat(left, 1)), orthogonal(torch.cat(right, 0))
    return base + (u * torch.cat(values)) @ v * scale
