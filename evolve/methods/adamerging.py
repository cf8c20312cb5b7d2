"""AdaMerging: task arithmetic with learned coefficients."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from evolve.methods.arguments import need_donors
from evolve.methods.sums import weighted
from evolve.recipe.program import RecipeSite


def adamerging(site: RecipeSite, base: Tensor, tensors: Mapping[str, Tensor], scale: float = 1.0) -> Tensor:
    """``base + scale * sum_i c_i (x_i - base)`` with c_i the learned coefficient of donor i at this site.

    ``tensors`` are by donor name, ``c_i = site.stat("adamerging", name)`` is one number per site, learned beforehand by
    minimising prediction entropy. Source: AdaMerging (layer-wise), arXiv 2310.02575. Not in mergekit.
    """
    need_donors("adamerging", tensors)
    deltas = [tensor - base for tensor in tensors.values()]
    return base + weighted(deltas, [site.stat("adamerging", name) for name in tensors]) * scale
