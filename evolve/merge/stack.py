"""Folds the input scales of a layer stack into the weights.

Write h for the hidden state of the stack as the recipe means it, where entry i multiplies its input by s_i, and c for
the product of the scales so far. The folded model carries h' = h / c instead, so that no multiplication is left:

- norms ignore a positive factor, so each branch (attention, MLP) computes what it would from h, up to the sign of c;
- a branch adds to h' what it adds to h, divided by c: the projection that ends the branch (weight and bias) is divided
  by c, or the norm after the branch where the architecture has one;
- a negative c goes into the norms that read h': the one before each branch and the final norm.

The only difference is the epsilon inside the norms, which sees h' in place of h.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from torch import Tensor

from evolve.donors.sites import Architecture
from evolve.errors import InvalidPlan

READS_STREAM = ("input_norm", "final_norm")
"""Roles that normalise the hidden state in every architecture; the norm before the MLP depends on it."""


def cumulative_scales(scales: Sequence[float]) -> list[float]:
    """The product of the scales up to and including each layer. Raises InvalidPlan where it is zero or not finite."""
    products = list(itertools.accumulate(scales, operator.mul))
    for index, product in enumerate(products):
        if product == 0 or not abs(product) < float("inf"):
            raise InvalidPlan(
                f"stack[{index}]: the input scales multiply up to {product}; keep each scale and their product away "
                "from zero and within the range of floating-point numbers"
            )
    return products


def fold(value: Tensor, role: str, scale: float, family: Architecture) -> Tensor:
    """A parameter of ``role`` with the cumulative ``scale`` of its layer folded in; ``value`` itself is not changed.

    The final norm belongs to the last layer.
    """
    if scale == 1.0:
        return value
    if role in _branch_ends(family):
        return _scaled_norm(value, 1 / scale, family) if family.branch_norms else value / scale
    if scale < 0 and role in (*READS_STREAM, _mlp_norm(family)):
        return _scaled_norm(value, -1.0, family)
    return value


def _branch_ends(family: Architecture) -> tuple[str, str]:
    return ("post_norm", "post_mlp_norm") if family.branch_norms else ("o_proj", "down_proj")


def _mlp_norm(family: Architecture) -> str:
    return "pre_mlp_norm" if family.branch_norms else "post_norm"


def _scaled_norm(weight: Tensor, factor: float, family: Architecture) -> Tensor:
    """The norm weight that makes the norm ``factor`` times as large."""
    return (1 + weight) * factor - 1 if family.offset_norms else weight * factor
