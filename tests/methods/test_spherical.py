"""Methods that interpolate directions: nuslerp, multislerp, karcher; and nearswap."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve import methods

seeds = st.integers(0, 2**31)
quick = settings(max_examples=30, deadline=None)
ALONG = ("tensor", "rows", "columns")


def close(a, b, atol=2e-6):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=atol)


@quick
@given(seeds, st.floats(0, 1), st.sampled_from(ALONG), st.booleans())
def test_nuslerp_has_its_ends(draw, seed, t, along, with_base):
    a, b, base = draw(seed)
    base = base if with_base else None
    close(methods.nuslerp(a, b, 0.0, base, along), a)
    close(methods.nuslerp(a, b, 1.0, base, along), b)
    close(methods.nuslerp(a, a, t, base, along), a)
    close(methods.nuslerp(a, b, t, base, along), methods.nuslerp(b, a, 1 - t, base, along))


@quick
@given(seeds, st.floats(0, 1))
def test_nuslerp_by_rows_is_slerp_of_each_row(draw, seed, t):
    a, b, _ = draw(seed)
    rows = torch.stack([methods.slerp(x, y, t) for x, y in zip(a, b, strict=True)])
    close(methods.nuslerp(a, b, t, along="rows"), rows)
    close(methods.nuslerp(a.T, b.T, t, along="columns"), rows.T)
    close(methods.nuslerp(a, b, t), methods.slerp(a, b, t))
    close(methods.nuslerp(a[0], b[0], t, along="columns"), rows[0])


def test_nuslerp_of_opposite_and_zero_tensors_is_linear(draw):
    a = draw(1)[0]
    close(methods.nuslerp(a, -a, 0.25), a / 2)
    close(methods.nuslerp(a, 0 * a, 0.25, along="rows").norm(), methods.slerp(a, 0 * a, 0.25).norm())


@quick
@given(seeds, st.permutations([0, 1, 2]), st.sampled_from(["multislerp", "karcher"]))
def test_spherical_means(draw, seed, order, name):
    method = getattr(methods, name)
    tensors = draw(seed)
    weights = [0.2, 0.5, 0.9]
    merged = method(tensors, weights)
    close(method([tensors[i] for i in order], [weights[i] for i in order]), merged, 1e-5)
    close(method(tensors, [2 * weight for weight in weights]), merged)
    close(method([*tensors, torch.ones_like(merged)], [*weights, 0.0]), merged, 1e-5)
    close(method([tensors[0]] * 3, weights), tensors[0])
    close(method(tensors, [0.0, 1.0, 0.0]), tensors[1])
    lengths = [weight * tensor.norm() for weight, tensor in zip(weights, tensors, strict=True)]
    close(merged.norm(), sum(lengths) / sum(weights), 1e-4)


@quick
@given(seeds)
def test_two_equal_weights_meet_in_the_middle(draw, seed):
    a, b, base = draw(seed)
    b = b * (a.norm() / b.norm())
    close(methods.multislerp([a, b]), methods.slerp(a, b, 0.5), 1e-5)
    close(methods.karcher([a, b]), methods.slerp(a, b, 0.5), 1e-5)
    close(methods.multislerp([base + a, base + b], base=base), base + methods.slerp(a, b, 0.5), 1e-5)


@quick
@given(seeds, st.floats(0.05, 0.95))
def test_the_karcher_mean_of_two_is_their_slerp_at_any_weight(draw, seed, t):
    a, b, _ = draw(seed)
    b = b * (a.norm() / b.norm())
    close(methods.karcher([a, b], [1 - t, t], iterations=40), methods.slerp(a, b, t), 1e-4)


def test_the_karcher_mean_is_where_the_pulls_cancel(draw):
    tensors = [tensor / tensor.norm() for tensor in draw(4)]
    weights = [0.2, 0.3, 0.5]
    centre = methods.karcher(tensors, weights, iterations=40)
    pull = torch.zeros_like(centre)
    for weight, tensor in zip(weights, tensors, strict=True):
        angle = torch.acos((centre * tensor).sum())
        pull += weight * angle / angle.sin() * (tensor - angle.cos() * centre)
    assert pull.norm() < 1e-5
    chord = methods.multislerp(tensors, weights)
    assert (chord - centre).norm() > 1e-3


def test_opposite_tensors_stay_finite(draw):
    a, base, _ = draw(3)
    assert methods.karcher([a, -a]).isfinite().all()
    assert torch.equal(methods.multislerp([base + a, base - a], base=base).isfinite().all(), torch.tensor(True))
    assert methods.multislerp([0 * a, 0 * a]).abs().max() == 0


@quick
@given(seeds, st.floats(0, 3))
def test_nearswap_moves_by_at_most_t(draw, seed, t):
    a, b, _ = draw(seed)
    merged = methods.nearswap(a, b, t)
    expected = a + (b - a).clamp(-t, t)
    close(merged, expected)


def test_arguments_out_of_range_are_named(draw):
    a, b, _ = draw(0)
    with pytest.raises(ValueError, match=r"t is 1.5; it must lie between 0 and 1"):
        methods.nuslerp(a, b, 1.5)
    with pytest.raises(ValueError, match="along is 'row'"):
        methods.nuslerp(a, b, 0.5, along="row")
    with pytest.raises(ValueError, match="t is -1; it must lie between 0 and inf"):
        methods.nearswap(a, b, -1)
    with pytest.raises(ValueError, match="t is nan"):
        methods.nearswap(a, b, math.nan)
    with pytest.raises(ValueError, match="sum to 0"):
        methods.karcher([a, b], [1, -1])
    for method in (methods.karcher, methods.multislerp):
        with pytest.raises(ValueError, match="at least one tensor"):
            method([])
        with pytest.raises(ValueError, match="3 weights for 2 tensors"):
            method([a, b], [1, 2, 3])
