"""Algebra of the merge methods."""

from __future__ import annotations

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve import methods
from evolve.methods.ties import trim
from evolve.recipe.eager import eager
from evolve.site import Site

torch.set_num_threads(1)

seeds = st.integers(0, 2**31)
fractions = st.floats(0, 1, width=32)
quick = settings(max_examples=40, deadline=None)


def draw(seed: int, count: int = 3, shape: tuple[int, ...] = (5, 7)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def site(depth: float = 0.5, layer: int | None = 1) -> Site:
    return Site("model.layers.1.mlp.up_proj.weight", layer, depth, "up_proj", "mlp", (5, 7))


@quick
@given(seeds)
def test_linear_with_weights_one_and_zero_is_the_first(seed):
    a, b, _ = draw(seed)
    assert torch.equal(methods.linear([a, b], [1, 0]), a)
    torch.testing.assert_close(methods.linear([a, b], [2, 2]), (a + b) / 2)
    torch.testing.assert_close(methods.linear([a, b], [2, 3], normalize=False), 2 * a + 3 * b)


@quick
@given(seeds, st.permutations([0, 1, 2]))
def test_the_order_of_donors_does_not_matter(seed, order):
    base, *tensors = draw(seed, 4)
    weights, density = [0.5, 0.8, 0.3], [0.3, 0.6, 0.9]
    mixed = [tensors[i] for i in order], [weights[i] for i in order]
    densities = [density[i] for i in order]
    torch.testing.assert_close(methods.linear(*mixed), methods.linear(tensors, weights))
    torch.testing.assert_close(methods.task_arithmetic(base, *mixed), methods.task_arithmetic(base, tensors, weights))
    torch.testing.assert_close(
        methods.ties(base, *mixed, density=densities), methods.ties(base, tensors, weights, density=density)
    )


@quick
@given(seeds, st.floats(0.1, 10))
def test_scaling_all_weights(seed, factor):
    base, *tensors = draw(seed, 4)
    weights, scaled = [0.5, 0.8, 0.3], [factor * weight for weight in (0.5, 0.8, 0.3)]
    for normalized in (
        lambda w: methods.linear(tensors, w),
        lambda w: methods.ties(base, tensors, w, density=0.4),
        lambda w: methods.breadcrumbs_ties(base, tensors, w, density=0.4, normalize=True),
        lambda w: methods.della(base, tensors, w, density=1.0, epsilon=0.0),
    ):
        torch.testing.assert_close(normalized(scaled), normalized(weights), rtol=1e-4, atol=1e-5)
    plain = methods.ties(base, tensors, weights, density=0.4, normalize=False) - base
    twice = methods.ties(base, tensors, scaled, density=0.4, normalize=False) - base
    torch.testing.assert_close(twice, factor * plain, rtol=1e-3, atol=1e-4)


@quick
@given(seeds)
def test_weight_0_drops_a_donor(seed):
    base, a, b = draw(seed)
    weights = [0.8, 0.0]
    for method in (methods.task_arithmetic, methods.ties, methods.dare_linear, methods.dare_ties):
        options = {} if method is methods.task_arithmetic else {"density": 1.0}
        torch.testing.assert_close(method(base, [a, b], weights, **options), method(base, [a], [0.8], **options))
    torch.testing.assert_close(methods.linear([a, b], weights), a)


@quick
@given(seeds, st.floats(0, 1))
def test_slerp_has_its_ends_and_a_norm_between(seed, t):
    a, b, _ = draw(seed)
    torch.testing.assert_close(methods.slerp(a, b, 0.0), a)
    torch.testing.assert_close(methods.slerp(a, b, 1.0), b)
    torch.testing.assert_close(methods.slerp(a, a, t), a)
    b = b * (a.norm() / b.norm())
    torch.testing.assert_close(methods.slerp(a, b, t).norm(), a.norm(), rtol=1e-4, atol=0)


def test_slerp_of_opposite_and_zero_tensors_is_finite():
    a = draw(1)[0]
    assert methods.slerp(a, -a, 0.3).isfinite().all()
    assert methods.slerp(a, torch.zeros_like(a), 0.3).isfinite().all()


@quick
@given(seeds)
def test_density_one_of_one_expert_is_task_arithmetic(seed):
    base, a, _ = draw(seed)
    expected = methods.task_arithmetic(base, [a], [0.7], scale=1.3)
    torch.testing.assert_close(methods.ties(base, [a], [0.7], density=1.0, scale=1.3, normalize=False), expected)
    torch.testing.assert_close(methods.dare_linear(base, [a], [0.7], density=1.0, scale=1.3), expected)
    torch.testing.assert_close(methods.dare_ties(base, [a], [0.7], density=1.0, scale=1.3), expected)


@quick
@given(seeds, st.floats(0, 1.2))
def test_trim_keeps_the_largest(seed, density):
    delta = draw(seed)[0]
    kept = trim(delta, density)
    count = min(int(density * delta.numel()), delta.numel())
    assert int((kept != 0).sum()) == count
    if count:
        assert kept[kept != 0].abs().min() >= torch.where(kept == 0, delta, 0.0).abs().max()


def test_a_density_that_keeps_nothing_gives_the_base():
    base, a, b = draw(0)
    assert torch.equal(methods.ties(base, [a, b], density=0.001), base)
    assert torch.equal(methods.dare_linear(base, [a, b], density=0.0), base)


def test_ties_drops_the_minority_sign():
    base = torch.zeros(3)
    a, b = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([3.0, -3.0, -2.0])
    assert methods.ties(base, [a, b], density=1.0).tolist() == [2.0, -3.0, 2.0]


def test_dare_rescales_as_asked():
    program = """
import torch
from evolve.methods import dare_linear
def merge(site, base, a):
    return dare_linear(base, [a], density=0.25, rescale={})
"""
    donors = {"base": torch.zeros(5, 7), "a": torch.ones(5, 7)}
    by_density = eager(program.format(True), site(), donors)
    assert set(by_density.flatten().tolist()) == {0.0, 4.0}
    by_norm = eager(program.format("'l1'"), site(), donors)
    torch.testing.assert_close(by_norm.abs().sum(), torch.tensor(35.0))
    assert set(eager(program.format(False), site(), donors).flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("depth", "layer", "expected"),
    [(0.0, 0, 2.0), (0.22, 5, 1.5), (0.5, 10, 1.0), (0.87, 17, 1.5), (1.0, 20, 2.0), (0.5, None, 2.0)],
)
def test_layer_swap_by_depth(depth, layer, expected):
    merged = methods.layer_swap(
        site(depth, layer), torch.ones(2), 2 * torch.ones(2), bottom=0.2, top=0.1, transition=0.05
    )
    assert merged.tolist() == [expected] * 2


def test_wrong_arguments_are_named():
    base, a, b = draw(0)
    with pytest.raises(ValueError, match="3 weights for 2 tensors"):
        methods.linear([a, b], [1, 2, 3])
    with pytest.raises(ValueError, match="sum to 0"):
        methods.linear([a, b], [1, -1])
    with pytest.raises(ValueError, match="rescale"):
        methods.dare_linear(base, [a], rescale="l2")
    for name in methods.__all__:
        method = getattr(methods, name)
        if list(inspect.signature(method).parameters)[:2] == ["base", "tensors"]:
            with pytest.raises(ValueError, match=r"at least (one|two)"):
                method(base, [])
