"""DARE: dropping differences at random and rescaling the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from evolve.methods.arguments import per_tensor
from evolve.methods.ties import elect

Rescale = bool | Literal["l1"]


def drop(delta: Tensor, density: float, rescale: Rescale = True) -> Tensor:
    """Keeps each entry with probability ``density``, zero elsewhere; ``density >= 1`` keeps all, ``<= 0`` none.

    ``rescale=True`` divides by the density, ``"l1"`` restores the tensor's L1 norm (mergekit's way), False does
    neither.
    """
    check_rescale(rescale)
    if density >= 1:
        return delta
    if density <= 0:
        return torch.zeros_like(delta)
    kept = torch.where(torch.rand_like(delta) < density, delta, 0.0)
    if rescale == "l1":
        return match_l1(kept, delta)
    return kept / density if rescale else kept


def match_l1(kept: Tensor, delta: Tensor) -> Tensor:
    """What is kept, scaled to the L1 norm of the whole delta; unchanged where nothing is kept."""
    before, after = delta.abs().sum(), kept.abs().sum()
    return kept * torch.where(after > 0, before / torch.where(after > 0, after, 1.0), 1.0)


def check_rescale(rescale: Rescale) -> None:
    """ValueError for what is no way to rescale."""
    if rescale not in (True, False, "l1"):
        raise ValueError(f"rescale is {rescale!r}; use True, False or 'l1'")


def _dropped(
    base: Tensor, tensors: Sequence[Tensor], density: Sequence[float] | float, rescale: Rescale
) -> list[Tensor]:
    if not tensors:
        raise ValueError("dare needs at least one tensor besides the base")
    densities = per_tensor("density", density, len(tensors))
    return [drop(tensor - base, kept, rescale) for tensor, kept in zip(tensors, densities, strict=True)]


def dare_linear(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.5,
    rescale: Rescale = True,
    scale: float = 1.0,
) -> Tensor:
    """``base + scale * sum_i w_i drop(x_i - base)``; elementwise, with masks seeded per site.

    Weights default to 1 each. Source: Language models are super Mario, arXiv 2311.03099. The paper divides by the
    density, the default here; mergekit's ``dare_linear`` matches L1 norms: ``rescale="l1"``.
    """
    factors = per_tensor("weights", weights, len(tensors))
    deltas = _dropped(base, tensors, density, rescale)
    merged = deltas[0] * factors[0]
    for delta, factor in zip(deltas[1:], factors[1:], strict=True):
        merged = merged + delta * factor
    return base + merged * scale


def dare_ties(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    density: Sequence[float] | float = 0.5,
    rescale: Rescale = True,
    scale: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """``base + scale * elect(drop(x_i - base))``: random dropping in place of trimming, then the sign election of TIES.

    Source and rescaling as in ``dare_linear``; ``normalize`` divides by the agreeing weights (mergekit's default is
    not to).
    """
    factors = [float(weight) for weight in per_tensor("weights", weights, len(tensors))]
    return base + elect(_dropped(base, tensors, density, rescale), factors, normalize) * scale
