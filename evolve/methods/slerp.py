"""Spherical interpolation of two tensors."""

from __future__ import annotations

import torch
from torch import Tensor

# Above this cosine the sphere is flat to float32 and the formula divides small by small.
PARALLEL = 0.9995
SMALLEST_NORM = 1e-8


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """``[sin((1 - t) W) a + sin(t W) b] / sin W`` with W the angle between a and b; t = 0 gives a, t = 1 gives b.

    The angle is that of the whole, flattened tensors; the interpolated tensors themselves are not normalised. Where
    ``|cos W| > 0.9995`` it is the linear ``(1 - t) a + t b``. Source: Shoemake 1985. As mergekit's ``slerp``, which
    normalises with the same small constant; mergekit computes it in NumPy.
    """
    cosine = (a * b).sum() / (a.norm().clamp(min=SMALLEST_NORM) * b.norm().clamp(min=SMALLEST_NORM))
    parallel = cosine.abs() > PARALLEL
    # A right angle stands in for the unused branch, so that no division by zero leaks through torch.where.
    angle = torch.acos(torch.where(parallel, torch.zeros_like(cosine), cosine))
    weight_a = torch.where(parallel, 1.0 - t, torch.sin((1.0 - t) * angle) / torch.sin(angle))
    weight_b = torch.where(parallel, t, torch.sin(t * angle) / torch.sin(angle))
    return weight_a * a + weight_b * b
