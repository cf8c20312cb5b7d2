"""Karcher mean of tensors: the point of the sphere with the smallest sum of squared angles to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.methods.arguments import shares, within
from evolve.methods.sums import weighted

SMALLEST_NORM = 1e-8
# Below this sine parallel tensors give the linear result to float32, and the way between opposite ones is undefined.
SMALLEST_SINE = 1e-3


def _gram(tensors: Sequence[Tensor], norms: Sequence[Tensor]) -> Tensor:
    """Cosines of all pairs, (tensors, tensors)."""
    rows: list[list[Tensor]] = []
    for i, left in enumerate(tensors):
        row = [rows[j][i] for j in range(i)]
        row += [(left * tensors[j]).sum() / (norms[i] * norms[j]) for j in range(i, len(tensors))]
        rows.append(row)
    return torch.stack([torch.stack(row) for row in rows])


def _step(u: Tensor, gram: Tensor, weights: Tensor, tolerance: float) -> Tensor:
    """One step of the fixed-point iteration, everything in coordinates over the normalised tensors."""
    cosines = (gram @ u).clamp(-1.0, 1.0)  # (tensors,)
    angles = torch.acos(cosines)
    sines = torch.sin(angles)
    flat = sines.abs() < SMALLEST_SINE
    pulls = weights * torch.where(flat, 1.0, angles / torch.where(flat, 1.0, sines))
    tangent = pulls - (pulls * cosines).sum() * u
    length = (tangent @ (gram @ tangent)).clamp(min=0.0).sqrt()
    moves = length > tolerance
    reach = torch.where(moves, torch.sin(length) / torch.where(moves, length, 1.0), 0.0)
    return torch.where(moves, torch.cos(length) * u + reach * tangent, u)


def karcher(
    tensors: Sequence[Tensor],
    weights: Sequence[float] | float | None = None,
    iterations: int = 10,
    tolerance: float = 1e-5,
) -> Tensor:
    """``(sum_i w_i |x_i|) u`` with u the Riemannian centre of the directions ``x_i / |x_i|`` on the sphere.

    u starts as the normalised ``sum_i w_i x_i / |x_i|``; a step adds up the logarithms
    ``T = sum_i w_i (W_i / sin W_i) (x_i / |x_i| - cos W_i u)``, W_i the angle between x_i and u, and goes
    ``cos |T| u + sin |T| T / |T|``, until ``|T| < tolerance`` or ``iterations`` steps are done. Angles are those of the
    whole, flattened tensors; weights default to equal ones and are divided by their sum. Source: Karcher 1977,
    Riemannian center of mass. mergekit's ``karcher`` has no weights; otherwise the same. As u stays a combination of
    the tensors, the steps run on its coordinates and the tensors are read once for their inner products.
    """
    if not tensors:
        raise ValueError("karcher needs at least one tensor")
    within("iterations", iterations, 0, 1000)
    factors = shares(weights, len(tensors))
    norms = [tensor.norm().clamp(min=SMALLEST_NORM) for tensor in tensors]
    gram = _gram(tensors, norms)
    alphas = gram.new_tensor(factors)
    u = alphas / (alphas @ (gram @ alphas)).clamp(min=SMALLEST_NORM).sqrt()
    for _ in range(iterations):
        u = _step(u, gram, alphas, tolerance)
    length = (alphas * torch.stack(norms)).sum()
    return weighted(tensors, [length * u[i] / norm for i, norm in enumerate(norms)])
