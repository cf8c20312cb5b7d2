"""Task arithmetic: adding the differences of fine-tuned models to their base."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from evolve.methods.arguments import per_tensor


def task_arithmetic(
    base: Tensor, tensors: Sequence[Tensor], weights: Sequence[float] | float | None = None, scale: float = 1.0
) -> Tensor:
    """``base + scale * sum_i w_i (x_i - base)``; elementwise.

    Weights default to 1 each, ``scale`` (lambda) to 1; 0.3 to 0.4 is common for several experts. Source: Editing
    models with task arithmetic, arXiv 2212.04089. mergekit's ``task_arithmetic`` with ``normalize: false``.
    """
    factors = per_tensor("weights", weights, len(tensors))
    if not factors:
        raise ValueError("task_arithmetic needs at least one tensor besides the base")
    merged = (tensors[0] - base) * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        merged = merged + (tensor - base) * factor
    return base + merged * scale
