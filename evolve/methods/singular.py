"""What the methods on singular vectors share."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns (or rows, whichever are fewer): ``P Q`` of its SVD ``P D Q``."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest: Tensor = left @ right
    return nearest
