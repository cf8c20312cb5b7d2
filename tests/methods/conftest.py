"""Random tensors for the tests of methods."""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)


def _draw(seed: int, count: int = 3, shape: tuple[int, ...] = (6, 9)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


@pytest.fixture(scope="session")
def draw():
    """``draw(seed, count, shape)``: that many standard normal tensors."""
    return _draw
