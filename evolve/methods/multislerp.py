"""Spherical interpolation of any number of tensors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from evolve.methods.arguments import per_tensor, shares
from evolve.methods.sums import added, weighted

SMALLEST_NORM = 1e-8


def multislerp(
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    base: Tensor | None = None,
    normalize: bool = True,
) -> Tensor:
    """``(sum_i w_i |x_i|) m`` with m the direction of ``sum_i w_i x_i / |x_i|``: averages directions and lengths apart.

    Norms are those of the whole tensors. Weights default to 1 each and are divided by their sum unless ``normalize``
    is False. With a ``base`` the task vectors ``x_i - base`` are interpolated and added to it. As mergekit's
    ``multislerp``, which has no paper; its further step along ``sum_i w_i (x_i / |x_i| - <x_i / |x_i|, m> m)`` is zero
    by the choice of m and left out. Opposite tensors that cancel give 0 (the base); see ``karcher`` for the exact
    centre.
    """
    if not tensors:
        raise ValueError("multislerp needs at least one tensor")
    factors = shares(weights, len(tensors)) if normalize else per_tensor("weights", weights, len(tensors))
    points = list(tensors) if base is None else [tensor - base for tensor in tensors]
    norms = [point.norm() for point in points]
    direction = weighted(points, [factor / (norm + SMALLEST_NORM) for factor, norm in zip(factors, norms, strict=True)])
    length = added([norm * factor for norm, factor in zip(norms, factors, strict=True)])
    merged: Tensor = direction * (length / direction.norm().clamp(min=SMALLEST_NORM))
    return merged if base is None else base + merged
