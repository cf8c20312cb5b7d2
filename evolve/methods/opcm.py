"""OPCM: adding experts one after the other, each without the directions already used."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, within

SMALLEST_NORM = 1e-12


def _outside(merged: Tensor, delta: Tensor, alpha: float) -> Tensor:
    """The delta without its diagonal and its leading block in the singular basis of what is merged so far."""
    left, values, right = torch.linalg.svd(merged, full_matrices=False)
    energy = values.cumsum(0) / values.sum().clamp(min=SMALLEST_NORM)
    leading = energy <= alpha
    indices = torch.arange(values.shape[0], device=values.device)
    removed = (leading.unsqueeze(1) & leading.unsqueeze(0)) | (indices.unsqueeze(1) == indices.unsqueeze(0))
    coordinates = left.T @ delta @ right.T  # (rank, rank)
    used: Tensor = left @ torch.where(removed, coordinates, 0.0) @ right
    return delta - used


def opcm(base: Tensor, tensors: Sequence[Tensor], alpha: float = 0.5, scale: float = 1.0) -> Tensor:
    """``base + scale * D_T`` with ``D_t = (l_{t-1} D_{t-1} + project(x_t - base)) / l_t``, one expert after the other.

    ``D_1`` is the first task vector. With U, S, V the SVD of ``D_{t-1}`` the projection removes, from ``U^T d V``, the
    diagonal and the leading k x k block, where k counts the singular values whose cumulated share of the sum is at most
    ``alpha`` (0..1, else ValueError). ``l_t`` makes the norm of ``D_t`` the mean norm of the first t task vectors.
    Tensors that are not 2-D are added unprojected. The order of the experts matters. Source: Merging models on the fly
    without retraining, arXiv 2501.09522, where the norms behind l_t are those of the whole model; here they are those
    of the tensor. Not in mergekit.
    """
    within("alpha", alpha, 0, 1)
    deltas = differences("opcm", base, tensors)
    merged, summed, length = deltas[0], deltas[0], deltas[0].norm()
    for count, delta in enumerate(deltas[1:], 2):
        summed = summed + (_outside(merged, delta, alpha) if base.ndim == 2 else delta)
        length = length + delta.norm()
        merged = summed * (length / count / summed.norm().clamp(min=SMALLEST_NORM))
    return base + merged * scale
