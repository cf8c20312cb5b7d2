"""Masks as bits: an eighth of a byte per element is little enough to keep."""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor


def packed(mask: Tensor) -> Tensor:
    """The bits of a bool tensor, in order, eight in a byte, the first in the lowest: uint8."""
    return torch.from_numpy(numpy.packbits(mask.numpy().reshape(-1), bitorder="little"))


def unpacked(bits: Tensor, start: int, shape: tuple[int, ...]) -> Tensor:
    """The bool tensor of ``shape`` whose first element is bit ``start``, a multiple of 8."""
    size = math.prod(shape)
    taken = bits[start // 8 : -(-(start + size) // 8)].numpy()
    return torch.from_numpy(numpy.unpackbits(taken, count=size, bitorder="little").astype(numpy.bool_)).reshape(shape)
