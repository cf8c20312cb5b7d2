"""Seeded noise from counters: the same bits on every device, for every split into blocks.

Element i of a stream is a 32-bit hash of (key, i), where the key comes from the seed, the site's name and the number of
the draw within the site. The hash is one 32-bit finaliser with a key before each of its two multiplications
(multipliers below 2**31, so that products of 32-bit words stay inside int64), in torch integer arithmetic here and as
machine code where plans are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import prod, tau
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WORD = 0xFFFFFFFF
# Counters are spread by this odd step first: without it elements a power of two apart were correlated (0.025).
STEP = 0x1E3779B1
MULTIPLIERS = (0x21F0AAAD, 0x735A2D97)
# Uniform numbers have 24 bits, as many as a float32 holds exactly.
UNIFORM_BITS = 24
BLOCK_ELEMENTS = {"cpu": 2**16}
DEVICE_BLOCK_ELEMENTS = 2**24


def keys(seed: int, site_name: str, index: int, lane: int = 0) -> tuple[int, int]:
    """The two 32-bit words that tell a stream of noise from all others."""
    digest = sha256(f"evolve noise\0{seed}\0{index}\0{lane}\0{site_name}".encode()).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


def _words(stream: tuple[int, int], start: int, count: int, device: Any) -> Tensor:
    """Hashes of the counters ``start .. start + count``: int64 below 2**32."""
    import torch

    counters = torch.arange(start, start + count, dtype=torch.int64, device=device)
    high = counters >> 32
    words = (counters & WORD).mul_(STEP).add_(stream[0]).bitwise_and_(WORD)
    words.bitwise_xor_(words >> 16)
    words.mul_(MULTIPLIERS[0]).bitwise_and_(WORD)
    words.add_(stream[1]).add_(high).bitwise_and_(WORD)
    words.bitwise_xor_(words >> 15)
    words.mul_(MULTIPLIERS[1]).bitwise_and_(WORD)
    words.bitwise_xor_(words >> 15)
    return words


def uniform(
    seed: int, site_name: str, index: int, shape: Sequence[int], device: Any = "cpu", start: int = 0, lane: int = 0
) -> Tensor:
    """float32 in [0, 1), elements ``start`` and on of the stream; ``lane`` tells independent streams of one draw
    apart.
    """
    import torch

    stream = keys(seed, site_name, index, lane)
    count = prod(shape)
    result = torch.empty(count, dtype=torch.float32, device=device)
    block = BLOCK_ELEMENTS.get(torch.device(device).type, DEVICE_BLOCK_ELEMENTS)
    for first in range(0, count, block):
        size = min(block, count - first)
        words = _words(stream, start + first, size, device)
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


def draw(
    distribution: str,
    seed: int,
    site_name: str,
    index: int,
    shape: Sequence[int],
    device: Any = "cpu",
    start: int = 0,
) -> Tensor:
    """Noise of a plan's ``distribution``, ``uniform`` or ``normal``, from element ``start`` of its stream on."""
    source = uniform if distribution == "uniform" else normal
    return source(seed, site_name, index, shape, device, start)
