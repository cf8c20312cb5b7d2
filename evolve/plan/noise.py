"""Seeded noise from counters: the same bits on every device, for every split into blocks.

Element i of a stream is a 32-bit hash of (key, i), where the key comes from the seed, the site's name and the number of
the draw within the site. Two rounds of a 32-bit finaliser (multipliers below 2**31, so that products of 32-bit words
stay inside int64) are computed in torch integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import prod, tau
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = (0x21F0AAAD, 0x735A2D97)
# Uniform numbers have 24 bits, as many as a float32 holds exactly.
UNIFORM_BITS = 24
BLOCK_ELEMENTS = {"cpu": 2**16}
DEVICE_BLOCK_ELEMENTS = 2**24


def _keys(seed: int, site_name: str, index: int, lane: int) -> tuple[int, int]:
    digest = sha256(f"evolve noise\0{seed}\0{index}\0{lane}\0{site_name}".encode()).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


def _mix(words: Tensor) -> None:
    """One round of the finaliser, in place, on int64 words below 2**32."""
    words.bitwise_xor_(words >> 16)
    for multiplier in MULTIPLIERS:
        words.mul_(multiplier).bitwise_and_(WORD)
        words.bitwise_xor_(words >> 15)


def _words(keys: tuple[int, int], start: int, count: int, device: Any) -> Tensor:
    """Hashes of the counters ``start .. start + count``: int64 below 2**32."""
    import torch

    counters = torch.arange(start, start + count, dtype=torch.int64, device=device)
    high = counters >> 32
    words = (counters + keys[0]).bitwise_and_(WORD)
    _mix(words)
    words.bitwise_xor_(keys[1]).add_(high).bitwise_and_(WORD)
    _mix(words)
    return words


def uniform(
    seed: int, site_name: str, index: int, shape: Sequence[int], device: Any = "cpu", start: int = 0, lane: int = 0
) -> Tensor:
    """float32 in [0, 1), elements ``start`` and on of the stream; ``lane`` tells independent streams of one draw
    apart.
    """
    import torch

    keys = _keys(seed, site_name, index, lane)
    count = prod(shape)
    result = torch.empty(count, dtype=torch.float32, device=device)
    block = BLOCK_ELEMENTS.get(torch.device(device).type, DEVICE_BLOCK_ELEMENTS)
    for first in range(0, count, block):
        size = min(block, count - first)
        words = _words(keys, start + first, size, device)
        result[first : first + size] = words >> (32 - UNIFORM_BITS)
    return result.mul_(2.0**-UNIFORM_BITS).reshape(tuple(shape))


def normal(seed: int, site_name: str, index: int, shape: Sequence[int], device: Any = "cpu", start: int = 0) -> Tensor:
    """Standard normal float32 by Box-Muller in float64, rounded once, so that the devices' libraries agree."""
    import torch

    count = prod(shape)
    result = torch.empty(count, dtype=torch.float32, device=device)
    block = BLOCK_ELEMENTS.get(torch.device(device).type, DEVICE_BLOCK_ELEMENTS)
    for first in range(0, count, block):
        size = min(block, count - first)
        radius = uniform(seed, site_name, index, (size,), device, start + first, lane=1).double()
        angle = uniform(seed, site_name, index, (size,), device, start + first, lane=2).double()
        # 1 - u is in (0, 1], so its logarithm is finite.
        radius = torch.sqrt(-2.0 * torch.log1p(-radius))
        result[first : first + size] = radius * torch.cos(tau * angle)
    return result.reshape(tuple(shape))


def draw(distribution: str, seed: int, site_name: str, index: int, shape: Sequence[int], device: Any = "cpu") -> Tensor:
    """Noise of a plan's ``distribution``: ``uniform`` or ``normal``."""
    source = uniform if distribution == "uniform" else normal
    return source(seed, site_name, index, shape, device)
