"""Spherical interpolation of two tensors, whole or by rows or columns."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from evolve.methods.arguments import within

SMALLEST_NORM = 1e-8
# Below this sine parallel tensors give the linear result to float32, and the way between opposite ones is undefined.
SMALLEST_SINE = 1e-3

Along = Literal["tensor", "rows", "columns"]


def nuslerp(a: Tensor, b: Tensor, t: float, base: Tensor | None = None, along: Along = "tensor") -> Tensor:
    """``[sin((1 - t) W) a + sin(t W) b] / sin W`` with W the angle between a and b, or between their rows or columns.

    ``along="tensor"`` flattens, ``"rows"`` takes each row of a matrix (..., rows, columns) on its own, ``"columns"``
    each column; tensors of one dimension are always taken whole. With a ``base`` the task vectors are interpolated and
    added to it. Where ``|sin W| < 0.001`` it is the linear ``(1 - t) a + t b``. Source: Shoemake 1985. As mergekit's
    ``nuslerp`` with ``t = w_b / (w_a + w_b)``: ``nuslerp_row_wise: true`` there is ``"columns"`` here and ``false``
    is ``"rows"``, as its results show. Unlike ``slerp`` it stays spherical for nearly parallel tensors. Raises
    ValueError for t outside 0..1.
    """
    within("t", t, 0, 1)
    dims = {"tensor": None, "rows": -1, "columns": -2}
    if along not in dims:
        raise ValueError(f"along is {along!r}; use 'tensor', 'rows' or 'columns'")
    x, y = (a, b) if base is None else (a - base, b - base)
    dim = dims[along] if x.ndim > 1 else None
    if dim is None:
        product, x_norm, y_norm = (x * y).sum(), x.norm(), y.norm()
    else:
        product = (x * y).sum(dim, keepdim=True)
        x_norm, y_norm = x.norm(dim=dim, keepdim=True), y.norm(dim=dim, keepdim=True)
    cosine = product / (x_norm.clamp(min=SMALLEST_NORM) * y_norm.clamp(min=SMALLEST_NORM))
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    sine = torch.sin(angle)
    flat = sine.abs() < SMALLEST_SINE
    divisor = torch.where(flat, 1.0, sine)
    x_weight = torch.where(flat, 1.0 - t, torch.sin((1.0 - t) * angle) / divisor)
    y_weight = torch.where(flat, t, torch.sin(t * angle) / divisor)
    merged = x_weight * x + y_weight * y
    return merged if base is None else base + merged
