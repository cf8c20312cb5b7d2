"""RAM: differences of one expert alone in full, shared ones averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import differences, within
from evolve.methods.sums import added


def _masks(deltas: Sequence[Tensor], epsilon: float) -> tuple[list[Tensor], Tensor]:
    """Where each expert differs from the base (bool), and how many do (float32)."""
    within("epsilon", epsilon, 0, math.inf)
    changed = [delta.abs() > epsilon for delta in deltas]
    return changed, added([mask.float() for mask in changed])


def ram(base: Tensor, tensors: Sequence[Tensor], epsilon: float = 1e-5) -> Tensor:
    """``base + sum_i m_i d_i / sum_i m_i``: averages each difference over the experts that changed the entry.

    ``d_i = x_i - base`` and ``m_i`` is 1 where ``|d_i| > epsilon``; an entry that one expert alone changed keeps its
    full difference, one that nobody changed is the base's. Elementwise. Source: RAM, arXiv 2601.13572. As mergekit's
    ``ram``.
    """
    deltas = differences("ram", base, tensors)
    changed, count = _masks(deltas, epsilon)
    kept = [torch.where(mask, delta, 0.0) for mask, delta in zip(changed, deltas, strict=True)]
    return base + added(kept) / count.clamp(min=1.0)


def ramplus_tl(
    base: Tensor, tensors: Sequence[Tensor], epsilon: float = 1e-5, r: float = 0.1, alpha: float = 0.2
) -> Tensor:
    """As ``ram``, but what expert i alone changed is multiplied by ``1 + r * min(shared_i / unique_i, alpha)``.

    ``shared_i`` and ``unique_i`` count, over the tensor, the entries that expert i changed together with others and
    alone. Source: RAM+, arXiv 2601.13572, with the counts per tensor, as mergekit's ``ramplus_tl`` has them.
    """
    within("r", r, 0, math.inf)
    within("alpha", alpha, 0, math.inf)
    deltas = differences("ramplus_tl", base, tensors)
    changed, count = _masks(deltas, epsilon)
    alone = count == 1
    kept = []
    for mask, delta in zip(changed, deltas, strict=True):
        unique = (mask & alone).float().sum()
        shared = mask.float().sum() - unique
        factor = 1.0 + r * (shared / unique.clamp(min=1.0)).clamp(max=alpha)
        kept.append(torch.where(mask, torch.where(alone, delta * factor, delta), 0.0))
    return base + added(kept) / count.clamp(min=1.0)
