"""RegMean: the linear layer whose outputs are nearest to those of every expert on its own data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from evolve.methods.arguments import need_donors, within
from evolve.methods.sums import added, mean
from evolve.plan.statistics import available
from evolve.recipe.program import RecipeSite

# Added to every Gram matrix, in units of its mean diagonal: inputs that never occur get the plain average.
DAMPING = 1e-6
SMALLEST_DIAGONAL = 1e-12


def _damped(gram: Tensor, alpha: float) -> Tensor:
    diagonal = gram.diagonal()
    damping = DAMPING * diagonal.mean().clamp(min=SMALLEST_DIAGONAL)
    return gram * alpha + torch.diag(diagonal * (1.0 - alpha) + damping)


def regmean(site: RecipeSite, tensors: Mapping[str, Tensor], alpha: float = 0.9) -> Tensor:
    """``W^T = (sum_i G_i)^-1 sum_i G_i W_i^T`` at sites with Gram matrices, the plain average elsewhere.

    ``tensors`` are by donor name, ``G_i = site.stat("gram", name)`` is the mean of ``x x^T`` over the inputs x (in, in)
    of the layer in expert i, with everything off the diagonal multiplied by ``alpha`` (0..1, else ValueError; the
    paper's 0.9, lower for some models). Source: RegMean, arXiv 2212.09849. A damping of 1e-6 of the mean diagonal,
    which the paper does not have, keeps the system solvable. Not in mergekit.
    """
    need_donors("regmean", tensors)
    within("alpha", alpha, 0, 1)
    if not available("gram", site):
        return mean(list(tensors.values()))
    grams = [_damped(site.stat("gram", name), alpha) for name in tensors]
    sides = added([gram @ tensor.T for gram, tensor in zip(grams, tensors.values(), strict=True)])
    transposed: Tensor = torch.linalg.solve(added(grams), sides)
    return transposed.T
