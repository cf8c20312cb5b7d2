"""Passthrough: one donor's tensor as it is."""

from __future__ import annotations

from torch import Tensor


def passthrough(tensor: Tensor, scale: float = 1.0) -> Tensor:
    """``scale * x``; elementwise.

    As mergekit's ``passthrough``. Which layers follow each other (frankenmerges) is the matter of a recipe's
    ``stack``.
    """
    return tensor * scale
