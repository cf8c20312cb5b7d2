"""Arcee fusion: taking over the differences that stand out."""

from __future__ import annotations

import torch
from torch import Tensor

from evolve.methods.order import quantile

SMALLEST_SHARE = 1e-8


def arcee_fusion(base: Tensor, tensor: Tensor, fence: float = 1.5) -> Tensor:
    """x where its difference from the base stands out, the base elsewhere: outliers of ``|x - base| * KL`` pass.

    KL is the divergence of ``softmax(x)`` from ``softmax(base)`` over each row (a tensor of one dimension is one row).
    A difference passes at or above ``median + fence * (q75 - q25)`` of the products over the whole tensor, quartiles
    and median being elements (the lower of two). As mergekit's ``arcee_fusion`` (its fence is 1.5), which has no paper.
    """
    old, new = base.softmax(-1), tensor.softmax(-1)
    terms = new * ((new + SMALLEST_SHARE).log() - (old + SMALLEST_SHARE).log())
    importance = (tensor - base).abs() * terms.sum(-1, keepdim=True)
    spread = quantile(importance, 0.75) - quantile(importance, 0.25)
    return torch.where(importance >= quantile(importance, 0.5) + fence * spread, tensor, base)
