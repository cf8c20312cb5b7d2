"""Seeded noise: its bits, its independence of blocks, its distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.plan import noise

torch.set_num_threads(1)


# A change of these changes the weights of every plan that draws noise.
FIRST_UNIFORM = [0.9152777194976807, 0.38889461755752563, 0.3114892244338989]
FIRST_NORMAL = [0.43988001346588135, 0.21293917298316956]


def test_the_bits_stay_as_they_are():
    assert noise.uniform(0, "site", 0, (3,)).tolist() == FIRST_UNIFORM
    assert noise.normal(7, "site", 1, (2, 1)).flatten().tolist() == FIRST_NORMAL


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63 - 1), st.text(max_size=20), st.integers(0, 100), st.integers(1, 50), st.integers(0, 49))
def test_blocks_do_not_matter(seed, name, index, count, start):
    for source in (noise.uniform, noise.normal):
        whole = source(seed, name, index, (start + count,))
        assert torch.equal(source(seed, name, index, (count,), start=start), whole[start:])
        assert torch.equal(source(seed, name, index, (1, start + count)), whole[None])


def test_large_counters_and_long_tensors(monkeypatch):
    far = noise.uniform(1, "a", 0, (8,), start=2**33 - 4)
    assert torch.equal(noise.uniform(1, "a", 0, (4,), start=2**33), far[4:])
    assert (
        len(set(noise.uniform(1, "a", 0, (4,), start=2**33).tolist()) & set(noise.uniform(1, "a", 0, (4,)).tolist()))
        == 0
    )
    whole = noise.uniform(1, "a", 0, (1000,)), noise.normal(1, "a", 0, (1000,))
    monkeypatch.setattr(noise, "BLOCK_ELEMENTS", {"cpu": 64})
    assert torch.equal(noise.uniform(1, "a", 0, (1000,)), whole[0])
    assert torch.equal(noise.normal(1, "a", 0, (1000,)), whole[1])


@pytest.mark.parametrize("other", [(1, "a", 0), (0, "b", 0), (0, "a", 1)])
def test_streams_are_independent(other):
    n = 100_000
    first, second = noise.uniform(0, "a", 0, (n,)), noise.uniform(*other, (n,))
    correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
    assert correlation.abs() < 0.015
    assert (first == second).float().mean() < 1e-3


def test_uniform_is_uniform():
    n = 1_000_000
    draws = noise.uniform(3, "model.layers.0", 2, (n,))
    assert draws.dtype == torch.float32 and draws.min() >= 0 and draws.max() < 1
    counts = torch.histc(draws, 256, 0, 1)
    chi_square = float(((counts - n / 256) ** 2 / (n / 256)).sum())
    assert 150 < chi_square < 370  # 255 degrees of freedom, far tails
    lagged = torch.corrcoef(torch.stack([draws[:-1], draws[1:]]))[0, 1]
    assert lagged.abs() < 0.004
    low_bits = (draws * 2**24).long() & 0xFF
    assert float(((torch.bincount(low_bits, minlength=256) - n / 256) ** 2 / (n / 256)).sum()) < 370


def test_normal_is_normal():
    draws = noise.normal(3, "model.layers.0", 2, (1_000_000,)).double()
    assert draws.mean().abs() < 0.005
    assert (draws.std() - 1).abs() < 0.005
    assert ((draws.abs() < 1).double().mean() - 0.682689).abs() < 0.002
    assert ((draws**4).mean() - 3).abs() < 0.05
    assert draws.isfinite().all() and draws.abs().max() > 4


@pytest.mark.parametrize("lag", [1, 2, 16, 768, 1024, 4096, 11008, 2**16, 2**18])
def test_elements_far_apart_are_independent(lag):
    """Rows have lengths that are powers of two, where weak hashes show their structure."""
    n = 2**20
    for index in range(4):
        draws = noise.uniform(1, "s", index, (n,)).double() - 0.5
        correlation = (draws[:-lag] * draws[lag:]).mean() * 12
        assert abs(correlation) < 5 / (n - lag) ** 0.5
