"""Methods that select entries: breadcrumbs, della, sce, ram, pcb, compeft, consensus, arcee_fusion, sparse_sign,
model_stock."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve import methods
from evolve.methods.breadcrumbs import trim_both
from evolve.methods.compeft import compress
from evolve.methods.ties import trim
from evolve.recipe.eager import eager
from evolve.site import Site

seeds = st.integers(0, 2**31)
fractions = st.floats(0, 1)
quick = settings(max_examples=30, deadline=None)
SITE = Site("model.layers.1.mlp.up_proj.weight", 1, 0.5, "up_proj", "mlp", (6, 9))


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=atol)


def seeded(call, donors, shape=(6, 9)):
    """The result of a call with noise that is seeded as in a recipe."""
    site = Site(SITE.name, 1, 0.5, "up_proj", "mlp", shape)
    names = ", ".join(donors)
    source = f"from evolve.methods import *\nfrom evolve.methods.della import magprune\ndef merge(site, {names}):\n"
    return eager(f"{source}    return {call}\n", site, donors)


SYMMETRIC = {
    "breadcrumbs": lambda base, tensors: methods.breadcrumbs(base, tensors, 0.7, density=0.5, gamma=0.1),
    "breadcrumbs_ties": lambda base, tensors: methods.breadcrumbs_ties(base, tensors, density=0.5, normalize=True),
    "compeft": lambda base, tensors: methods.compeft(base, tensors, density=0.3),
    "consensus": methods.consensus,
    "model_stock": methods.model_stock,
    "model_stock by rows": lambda base, tensors: methods.model_stock(base, tensors, filter_wise=True),
    "pcb": lambda base, tensors: methods.pcb(base, tensors, density=0.4),
    "ram": lambda base, tensors: methods.ram(base, tensors, epsilon=0.5),
    "ramplus_tl": lambda base, tensors: methods.ramplus_tl(base, tensors, epsilon=0.5),
    "sce": lambda base, tensors: methods.sce(base, tensors, 0.4),
    "sce varying": lambda base, tensors: methods.sce(base, tensors, 0.4, among="varying"),
    "sparse_sign": lambda base, tensors: methods.sparse_sign(base, tensors, -0.5, density=0.3),
}


@pytest.mark.parametrize("name", SYMMETRIC)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, order=st.permutations([0, 1, 2]))
def test_the_order_of_donors_does_not_matter(draw, name, seed, order):
    base, *tensors = draw(seed, 4)
    close(SYMMETRIC[name](base, [tensors[i] for i in order]), SYMMETRIC[name](base, tensors), 1e-4)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_experts_equal_to_the_base_change_nothing(draw, name):
    base = draw(1)[0]
    close(SYMMETRIC[name](base, [base, base]), base)


WEIGHTED = {
    "breadcrumbs": lambda *args: methods.breadcrumbs(*args, density=0.5, gamma=0.1),
    "breadcrumbs_ties": lambda *args: methods.breadcrumbs_ties(*args, density=0.5, normalize=True),
    "compeft": lambda *args: methods.compeft(*args, density=0.3),
    "sparse_sign": lambda *args: methods.sparse_sign(*args, density=0.3),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weight_0_drops_a_donor(draw, name):
    base, a, b = draw(7)
    close(WEIGHTED[name](base, [a, b], [0.8, 0.0]), WEIGHTED[name](base, [a], [0.8]))


@quick
@given(seeds)
def test_without_dropping_they_are_task_arithmetic(draw, seed):
    base, a, b = draw(seed)
    weights = [0.7, -0.4]
    expected = methods.task_arithmetic(base, [a, b], weights, scale=1.3)
    close(methods.breadcrumbs(base, [a, b], weights, density=1.0, scale=1.3), expected)
    close(methods.della_linear(base, [a, b], weights, density=1.0, epsilon=0.0, scale=1.3), expected)
    close(methods.consensus(base, [a, b], weights, agreement=0, scale=1.3), expected)
    close(methods.sparse_sign(base, [a, b], [1.3 * weight for weight in weights]), expected)
    alone = methods.task_arithmetic(base, [a], [0.7])
    close(methods.della(base, [a], [0.7], density=1.0, epsilon=0.0, normalize=False), alone)
    close(methods.breadcrumbs_ties(base, [a], [0.7], density=1.0), alone)
    close(methods.ram(base, [a]), a)
    close(methods.ramplus_tl(base, [a]), a)
    close(methods.sce(base, [a]), a)


@quick
@given(seeds, fractions, fractions)
def test_breadcrumbs_keep_the_middle(draw, seed, density, gamma):
    delta = draw(seed)[0]
    kept = trim_both(delta, density, gamma)
    count, size = int(density * delta.numel()), delta.numel()
    assert int((kept != 0).sum()) == count
    order = delta.abs().flatten().argsort()
    first = max(size - count - int(gamma * size), 0)
    expected = torch.zeros(size)
    chosen = order[first : first + count]
    expected[chosen] = delta.flatten()[chosen]
    assert torch.equal(kept.flatten(), expected)
    close(trim_both(delta, density, 0.0), trim(delta, density), 0)


def test_della_keeps_large_differences_more_often():
    donors = {"base": torch.zeros(200, 500), "ja": torch.arange(1.0, 501.0).expand(200, 500).contiguous()}
    kept = seeded("magprune(ja, 0.4, 0.6, rescale=False)", donors, (200, 500)) != 0
    shares = kept.float().mean(0)  # (500,): expected 0.1 to 0.7
    assert abs(float(shares.mean()) - 0.4) < 0.01
    assert abs(float(shares[:50].mean()) - 0.13) < 0.02
    assert abs(float(shares[-50:].mean()) - 0.67) < 0.02
    unbiased = seeded("magprune(ja, 0.4, 0.6)", donors, (200, 500))
    # Each entry over its own probability: columns keep their mean, the rare ones with more noise.
    assert abs(float((unbiased.mean(0) / donors["ja"][0]).mean()) - 1) < 0.02
    by_norm = seeded("magprune(ja, 0.4, 0.6, 'l1')", donors, (200, 500))
    close(by_norm.abs().sum() / donors["ja"].sum(), torch.tensor(1.0))


def test_della_keeps_the_density_of_rows_of_any_length():
    donors = {"base": torch.zeros(20000, 1), "ja": torch.ones(20000, 1)}
    kept = seeded("magprune(ja, 0.5, 0.6, rescale=False)", donors, (20000, 1))
    assert abs(float(kept.mean()) - 0.5) < 0.02


def test_della_of_one_expert_is_della_linear(draw):
    base, ja, _ = draw(3)
    donors = {"base": base, "ja": ja}
    linear = seeded("della_linear(base, [ja], [0.8], density=0.6)", donors)
    assert torch.equal(seeded("della(base, [ja], [0.8], density=0.6, normalize=False)", donors), linear)
    assert not torch.equal(linear, base + 0.8 * (ja - base))


@quick
@given(seeds, st.integers(0, 54))
def test_sce_of_all_positions_and_of_varying_ones(draw, seed, count):
    base, *tensors = draw(seed, 4)
    share = min((count + 0.5) / base.numel(), 1)
    close(methods.sce(base, tensors, share, among="varying"), methods.sce(base, tensors, share))
    # Half of the positions do not vary, so the fraction of the others is half as many.
    frozen = [torch.cat([tensor, base]) for tensor in tensors]
    twice = torch.cat([base, base])
    merged = methods.sce(twice, frozen, share, among="varying")
    close(merged[:6], methods.sce(base, tensors, share))
    close(merged[6:], base)


def test_sce_weighs_by_energy_and_erases_the_minority():
    base = torch.zeros(4)
    a, b, c = torch.tensor([2.0, 2, 2, 2]), torch.tensor([1.0, 1, -1, -1]), torch.tensor([1.0, -1, -1, -3])
    merged = methods.sce(base, [a, b, c])
    weights = torch.tensor([4.0, 1.0, 3.0]) / 8
    close(merged[0], (2 * weights[0] + weights[1] + weights[2]))
    close(merged[1], (2 * weights[0] + weights[1]) / (weights[0] + weights[1]))
    close(merged[3], (-weights[1] - 3 * weights[2]) / (weights[1] + weights[2]))


def test_ram_separates_unique_and_shared():
    base = torch.zeros(5)
    a, b = torch.tensor([1.0, 2, 0, 0, 4]), torch.tensor([0.0, 4, 3, 0, 0])
    close(methods.ram(base, [a, b]), torch.tensor([1.0, 3, 3, 0, 4]))
    # a: one shared, two unique entries; b: one and one; both ratios are above alpha or below it.
    merged = methods.ramplus_tl(base, [a, b], r=0.1, alpha=0.7)
    close(merged, torch.tensor([1.05, 3, 3 * 1.07, 0, 4 * 1.05]))


@quick
@given(seeds, st.floats(0.1, 10))
def test_compeft_keeps_signs_and_one_size(draw, seed, factor):
    delta = draw(seed)[0]
    compressed = compress(delta, 0.5, alpha=2.0)
    size = 2 * delta.std(correction=0)
    kept = trim(delta, 0.5)
    close(compressed, size * kept.sign())
    close(compress(delta * factor, 0.5, alpha=2.0), compressed * factor, 1e-4)


def test_consensus_needs_enough_experts():
    base = torch.zeros(3)
    a, b, c = torch.tensor([1.0, 1, 0]), torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 0, 2])
    assert methods.consensus(base, [a, b, c], threshold=0.5, agreement=2).tolist() == [3.0, 0.0, 0.0]
    assert methods.consensus(base, [a, b, c], threshold=0.5, agreement=1).tolist() == [3.0, 1.0, 2.0]


def unit(values):
    return (values - values.min()) / (values.max() - values.min())


def test_pcb_by_sorting(draw):
    base, *tensors = draw(5, 4, (150, 100))
    density, weights = 0.2, [0.7, 1.1, 0.9]
    deltas = torch.stack([tensor - base for tensor in tensors]).flatten(1).double()
    sizes = deltas.abs()
    ascending = sizes.sort(-1).values  # (experts, 15000): 0.01% are one and a half elements
    sizes = sizes.clamp(ascending[:, 1:2], ascending[:, -3:-2])
    clipped = sizes * deltas.sign()
    balance = torch.stack([(3 * unit(size) ** 2).exp() for size in sizes]) * (clipped * clipped.sum(0)).tanh()
    shares = torch.stack([unit(row.clamp(min=row.sort().values[-3000])) for row in balance])
    merged = (shares * deltas * torch.tensor(weights)[:, None]).sum(0) / shares.sum(0).clamp(min=1e-12)
    result = methods.pcb(base, tensors, weights, density, scale=0.5)
    close(result, base + 0.5 * merged.float().reshape(150, 100), 1e-4)


@quick
@given(seeds)
def test_pcb_averages_what_competes(draw, seed):
    base, a, b = draw(seed)
    alone = methods.pcb(base, [a], density=0.3)
    assert ((alone == base) | torch.isclose(alone, a, atol=1e-6)).all()
    merged = methods.pcb(base, [a, b], density=0.2)
    low, high = torch.minimum(a, b) - 1e-5, torch.maximum(a, b) + 1e-5
    untouched = merged == base
    assert (untouched | ((merged >= low) & (merged <= high))).all()
    assert 0 < (~untouched).sum() <= 2 * int(0.2 * base.numel())
    close(methods.pcb(base, [a, b], [0.5, 0.5], density=0.2), (base + merged) / 2)


@quick
@given(seeds, st.integers(2, 4))
def test_model_stock_of_identical_donors_is_them(draw, seed, count):
    base, a, b = draw(seed)
    for filter_wise in (False, True):
        close(methods.model_stock(base, [a] * count, filter_wise), a, 1e-4)
        # Task vectors at a right angle have nothing in common: the base.
        delta = a - base
        product = (b - base) * delta
        share = product.sum(-1, keepdim=True) / delta.norm(dim=-1, keepdim=True) ** 2
        share = share if filter_wise else product.sum() / delta.norm() ** 2
        close(methods.model_stock(base, [a, b - share * delta], filter_wise), base, 1e-4)


def test_model_stock_of_task_vectors_that_cancel_is_the_base(draw):
    base, a, _ = draw(2)
    close(methods.model_stock(base, [a, 2 * base - a]), base)


def test_arcee_fusion_takes_outliers(draw):
    base, _, _ = draw(1)
    tensor = base.clone()
    tensor[2, 3] += 5
    tensor[0] += 0.01
    assert torch.equal(methods.arcee_fusion(base, base), base)
    merged = methods.arcee_fusion(base, tensor)
    assert merged[2, 3] == tensor[2, 3]
    assert torch.equal(methods.arcee_fusion(base, tensor, fence=-100.0), tensor)


def test_passthrough_scales(draw):
    a = draw(1)[0]
    assert torch.equal(methods.passthrough(a), a)
    assert torch.equal(methods.passthrough(a, 0.5), a / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: methods.breadcrumbs(x, [x], density=1.2), "density is 1.2; it must lie between 0 and 1"),
        (lambda x: methods.breadcrumbs_ties(x, [x], gamma=-0.1), "gamma is -0.1; it must lie between 0 and 1"),
        (lambda x: methods.della(x, [x], density=0.9), "density 0.9 with epsilon 0.3 gives .* 0.75 to 1.05"),
        (lambda x: methods.della_linear(x, [x], epsilon=-0.1), "epsilon must be at least 0"),
        (lambda x: methods.della(x, [x], rescale="l2"), "rescale is 'l2'"),
        (lambda x: methods.sce(x, [x], 1.1), "select_topk is 1.1; it must lie between 0 and 1"),
        (lambda x: methods.sce(x, [x], among="some"), "among is 'some'"),
        (lambda x: methods.ram(x, [x], epsilon=-1), "epsilon is -1; it must lie between 0 and inf"),
        (lambda x: methods.ramplus_tl(x, [x], alpha=-1), "alpha is -1"),
        (lambda x: methods.della(x, [x], density="half"), "density is 'half'; give a number, or a list with one"),
        (lambda x: methods.dare_ties(x, [x, x], density=[1, 1, 1]), "3 density for 2 tensors; give one number per"),
        (lambda x: methods.nuslerp(x, x, t="half"), "t is 'half'; it must lie between 0 and 1"),
        (lambda x: methods.pcb(x, [x], density=2), "density is 2; it must lie between 0 and 1"),
        (lambda x: methods.compeft(x, [x], density=[-1]), "density is -1"),
        (lambda x: methods.consensus(x, [x], agreement=2), "agreement is 2; it must lie between 0 and 1"),
        (lambda x: methods.sparse_sign(x, [x], 1.6), "a weight is 1.6; it must lie between -1.5 and 1.5"),
        (lambda x: methods.model_stock(x, [x]), "model_stock got 1 tensors besides the base"),
        (lambda x: methods.breadcrumbs(x, [x], [1, 2]), "2 weights for 1 tensors"),
        (lambda x: methods.pcb(x, []), "pcb needs at least one tensor besides the base"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_named(draw, call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(draw(0)[0])
    assert "\n" not in str(caught.value)
