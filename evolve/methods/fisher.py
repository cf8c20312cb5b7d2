"""Fisher-weighted averaging."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from evolve.methods.arguments import need_donors, within
from evolve.methods.sums import added
from evolve.recipe.program import RecipeSite


def fisher(
    site: RecipeSite,
    tensors: Mapping[str, Tensor],
    weights: Mapping[str, float] | Mapping[str, Tensor] | None = None,
    floor: float = 1e-6,
) -> Tensor:
    """``sum_i w_i F_i x_i / sum_i w_i F_i`` with F_i the diagonal Fisher information of donor i; elementwise.

    ``tensors`` are by donor name, ``F_i = max(site.stat("fisher", name), floor)``. Weights default to 1 each; they may
    be tensors, so that a recipe can divide by norms over the whole model: return ``{"ja": site.stat("fisher",
    "ja").square().sum(), ...}`` from ``gather`` and pass ``{"ja": 1 / totals["ja"].sqrt(), ...}``. Source: Merging
    models with Fisher-weighted averaging, arXiv 2111.09832. Not in mergekit.
    """
    need_donors("fisher", tensors)
    within("floor", floor, 0, math.inf)
    summed, divisor = [], []
    for name, tensor in tensors.items():
        importance = site.stat("fisher", name).clamp(min=floor) * (1.0 if weights is None else weights[name])
        summed.append(importance * tensor)
        divisor.append(importance)
    return added(summed) / added(divisor)
