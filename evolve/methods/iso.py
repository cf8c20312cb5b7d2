"""Isotropic merging: task vectors with a flat spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, within
from evolve.methods.singular import orthogonal
from evolve.methods.sums import added, mean


def iso_c(base: Tensor, tensors: Sequence[Tensor], scale: float = 1.0) -> Tensor:
    """``base + scale * mean(S) U V`` with ``U S V`` the SVD of the summed task vectors: a flat spectrum.

    Per tensor; tensors that are not 2-D get the mean task vector. ``scale`` is tuned in the paper. Source: No task left
    behind (Iso-C), arXiv 2502.04959. Not in mergekit.
    """
    deltas = differences("iso_c", base, tensors)
    if base.ndim != 2:
        return base + mean(deltas) * scale
    u, s, v = torch.linalg.svd(added(deltas), full_matrices=False)
    flat: Tensor = (u @ v) * s.mean()
    return base + flat * scale


def iso_cts(base: Tensor, tensors: Sequence[Tensor], common: float = 0.8, scale: float = 1.0) -> Tensor:
    """As ``iso_c``, with the weakest common directions replaced by the strongest of each task vector outside the rest.

    Of the r directions of a matrix about the fraction ``common`` are the leading ones of the summed task vectors; each
    of the T task vectors, less its projection onto their column space, adds its ``(r - int(common r)) // T`` strongest
    ones; what does not divide stays common. Left and right vectors are made orthonormal and get the mean of all chosen
    singular values. Per tensor; tensors that are not 2-D get the mean task vector. Source: No task left behind
    (Iso-CTS), arXiv 2502.04959. Not in mergekit.
    """
    within("common", common, 0, 1)
    deltas = differences("iso_cts", base, tensors)
    if base.ndim != 2:
        return base + mean(deltas) * scale
    rank = min(base.shape)
    own = (rank - int(common * rank)) // len(deltas)
    shared = rank - own * len(deltas)
    u, s, v = torch.linalg.svd(added(deltas), full_matrices=False)
    left, values, right = [u[:, :shared]], [s[:shared]], [v[:shared]]
    for delta in deltas if own else []:
        rest = delta - left[0] @ (left[0].T @ delta)
        u, s, v = torch.linalg.svd(rest, full_matrices=False)
        left.append(u[:, :own])
        values.append(s[:own])
        right.append(v[:own])
    u, v = orthogonal(torch.cat(left, 1)), orthogonal(torch.cat(right, 0))
    return base + (u @ v) * (torch.cat(values).mean() * scale)
