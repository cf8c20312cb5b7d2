"""Methods on singular vectors: tsv_merge, iso_c, iso_cts, opcm."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve import methods
from evolve.methods.singular import orthogonal

seeds = st.integers(0, 2**31)
shapes = st.sampled_from([(6, 9), (9, 6), (5, 5), (1, 4), (4, 1)])
quick = settings(max_examples=25, deadline=None)


def close(a, b, atol=1e-4):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=atol)


def low_rank(draw, seed, rank, shape=(12, 10)):
    left, right = draw(seed, 1, (shape[0], rank))[0], draw(seed + 1, 1, (rank, shape[1]))[0]
    return left @ right


@quick
@given(seeds, shapes)
def test_one_expert(draw, seed, shape):
    base, a = draw(seed, 2, shape)
    close(methods.tsv_merge(base, [a]), a)
    close(methods.opcm(base, [a]), a)
    close(methods.tsv_merge(base, [a], scale=0.5), (base + a) / 2)
    spectrum = torch.linalg.svdvals(methods.iso_c(base, [a]) - base)
    close(spectrum, torch.linalg.svdvals(a - base).mean().expand_as(spectrum))


@quick
@given(seeds, shapes, st.floats(0, 1))
def test_isotropic_spectra_are_flat(draw, seed, shape, common):
    base, *tensors = draw(seed, 4, shape)
    for merged in (methods.iso_c(base, tensors), methods.iso_cts(base, tensors, common)):
        spectrum = torch.linalg.svdvals(merged - base)
        close(spectrum, spectrum.mean().expand_as(spectrum))
    total = sum(tensor - base for tensor in tensors)
    spectrum = torch.linalg.svdvals(methods.iso_c(base, tensors, scale=2.0) - base)
    close(spectrum.mean(), 2 * torch.linalg.svdvals(total).mean())
    close(methods.iso_cts(base, tensors, common=1.0), methods.iso_c(base, tensors))


@quick
@given(seeds, st.permutations([0, 1, 2]))
def test_the_order_does_not_matter(draw, seed, order):
    base, *tensors = draw(seed, 4)
    mixed = [tensors[i] for i in order]
    for method in (methods.tsv_merge, methods.iso_c, methods.iso_cts):
        close(method(base, mixed), method(base, tensors), 1e-3)


def polar(matrix):
    """``M (M^T M)^(-1/2)`` by eigenvalues, another way to the nearest orthonormal columns."""
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    return matrix @ vectors @ torch.diag(values.rsqrt()) @ vectors.T


def leading(matrix, count):
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    return u[:, :count], s[:count], v[:count].T


@quick
@given(seeds)
def test_experts_that_overlap_are_made_orthogonal(draw, seed):
    base, *deltas = [tensor.double() for tensor in draw(seed, 4, (9, 7))]
    tensors = [base + delta for delta in deltas]
    lefts, values, rights = (list(parts) for parts in zip(*(leading(delta, 2) for delta in deltas), strict=True))
    u, v = polar(torch.cat(lefts, 1)), polar(torch.cat(rights, 1))
    close(methods.tsv_merge(base, tensors) - base, u @ torch.diag(torch.cat(values)) @ v.T)
    # Of 7 directions int(0.5 * 7) = 3 are common, and each of 3 experts has one of its own: one more is common.
    common, strengths, rows = leading(sum(deltas), 4)
    own = [leading(delta - common @ common.T @ delta, 1) for delta in deltas]
    u = polar(torch.cat([common, *(left for left, _, _ in own)], 1))
    v = polar(torch.cat([rows, *(right for _, _, right in own)], 1))
    strength = torch.cat([strengths, *(value for _, value, _ in own)]).mean()
    close(methods.iso_cts(base, tensors, common=0.5) - base, strength * u @ v.T)


def test_experts_in_orthogonal_spaces_are_added_in_full(draw):
    # Column and row spaces of a and b share nothing, so nothing interferes.
    a, b = torch.zeros(12, 10), torch.zeros(12, 10)
    a[:6, :5], b[6:, 5:] = draw(1, 2, (6, 5))
    base = draw(9, 1, (12, 10))[0]
    close(methods.tsv_merge(base, [base + a, base + b]), base + a + b)
    # For OPCM other column spaces are enough; directions of singular value 0 are arbitrary, so a has none here.
    a, b, base = a[:, :5], b[:, 5:], base[:, :5]
    merged = methods.opcm(base, [base + a, base + b]) - base
    close(merged / merged.norm(), (a + b) / (a + b).norm())


def test_iso_cts_gives_each_expert_directions_of_its_own(draw):
    strong, weak = low_rank(draw, 1, 4), 0.1 * low_rank(draw, 5, 1)
    base = torch.zeros(12, 10)
    experts = [strong, strong, strong + weak]
    left = torch.linalg.svd(weak)[0][:, 0]
    merged = methods.iso_cts(base, experts, common=0.4)
    assert (left @ merged).norm() > 0.9 * torch.linalg.svdvals(merged).max()


@quick
@given(seeds, st.floats(0, 0.9))
def test_opcm_adds_what_is_new(draw, seed, alpha):
    base, a, b, c = draw(seed, 4)
    merged = methods.opcm(base, [a, b, c], alpha) - base
    norms = torch.stack([(x - base).norm() for x in (a, b, c)])
    close(merged.norm(), norms.mean())
    # The second step: what is added has no diagonal and no leading block in the basis of the first task vector.
    two = methods.opcm(base, [a, b], alpha) - base
    u, s, v = torch.linalg.svd(a - base, full_matrices=False)
    factor = (u.T @ two @ v.T).diagonal() / s
    close(factor, factor.mean().expand_as(factor), 1e-3)


def test_opcm_leaves_out_known_directions(draw):
    base, a, _ = draw(2)
    close(methods.opcm(base, [a, base + 3 * (a - base)]), base + 2 * (a - base))
    u, _, v = torch.linalg.svd(a - base, full_matrices=False)
    leading = u[:, :1] @ v[1:2]
    # Off the diagonal, but inside the leading block of alpha = 0.9: nothing is new but the length.
    length = (a - base).norm()
    close(methods.opcm(base, [a, base + leading], alpha=0.9), base + (a - base) * ((length + 1) / 2 / length))


@quick
@given(seeds, st.integers(1, 5))
def test_other_tensors_are_averaged_or_added(draw, seed, size):
    base, a, b = draw(seed, 3, (size,))
    for method in (methods.tsv_merge, methods.iso_c, methods.iso_cts):
        close(method(base, [a, b]), (a + b) / 2)
    total = a - base + b - base
    length = ((a - base).norm() + (b - base).norm()) / 2
    close(methods.opcm(base, [a, b]), base + total * (length / total.norm()))


@quick
@given(seeds, shapes)
def test_orthogonal_is_the_nearest(draw, seed, shape):
    matrix, other = draw(seed, 2, shape)
    nearest = orthogonal(matrix)
    identity = nearest.T @ nearest if shape[0] >= shape[1] else nearest @ nearest.T
    close(identity, torch.eye(min(shape)))
    assert (matrix - nearest).norm() <= (matrix - orthogonal(other)).norm() + 1e-5


def test_more_experts_than_rank(draw):
    base, *tensors = draw(4, 6, (2, 7))
    for method in (methods.tsv_merge, methods.iso_c, methods.iso_cts, methods.opcm):
        assert method(base, tensors).isfinite().all()


def test_arguments_out_of_range_are_named(draw):
    base, a, _ = draw(0)
    with pytest.raises(ValueError, match="common is 1.2; it must lie between 0 and 1"):
        methods.iso_cts(base, [a], common=1.2)
    with pytest.raises(ValueError, match="alpha is -0.1; it must lie between 0 and 1"):
        methods.opcm(base, [a], alpha=-0.1)
    for method in (methods.tsv_merge, methods.iso_c, methods.iso_cts, methods.opcm):
        with pytest.raises(ValueError, match=f"{method.__name__} needs at least one tensor"):
            method(base, [])
