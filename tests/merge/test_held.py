"""Only what a plan changes is written, and nothing that came before shows."""

from __future__ import annotations

import random

import pytest
import torch

from evolve.donors.donors import load_donors
from evolve.errors import CandidateError, RecipeError
from evolve.execute.executor import Executor
from evolve.merge.model import LiveModel
from evolve.recipe.trace import DonorInfo, trace

RECIPE = """
from evolve.methods import ties, dare_ties, slerp

def merge(site, base, ja):
    weight = {weights}[site.layer or 0]
    if site.block == "mlp":
        return ties(base, [ja], [weight], {density})
    if site.block == "attention":
        return dare_ties(base, [ja], [weight], {density}, rescale="l1")
    return slerp(base, ja, weight)
"""


@pytest.fixture
def live(workshop):
    return LiveModel(load_donors(workshop.donors("llama", "base", "ja", dtype=torch.bfloat16)))


def plan_of(live, weights=(0.5, 0.5, 0.5), density=0.4, source=RECIPE):
    text = source.format(weights=list(weights), density=density)
    return trace(text, live.sites, {name: DonorInfo(3) for name in ("base", "ja")}).plan


def weights_of(live):
    return {name: parameter.clone() for name, parameter in live.model.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def written(monkeypatch):
    """The sites that executors write."""
    names = []
    original = Executor.write_site

    def counted(self, site, donors, out):
        names.append(site)
        return original(self, site, donors, out)

    monkeypatch.setattr(Executor, "write_site", counted)
    return names


def test_a_child_that_touches_one_layer_writes_that_layer(live, written):
    live.apply(plan_of(live))
    assert len(written) == len(live.sites)
    written.clear()
    live.apply(plan_of(live, (0.5, 0.7, 0.5)))
    assert written and all(name.startswith("model.layers.1.") for name in written)
    assert len(written) == sum(site.layer == 1 for site in live.sites)


def test_the_same_plan_again_writes_nothing(live, written):
    live.apply(plan_of(live))
    before = weights_of(live)
    written.clear()
    live.apply(plan_of(live, source=RECIPE.replace("weight", "share").replace("{shares}", "{weights}")))
    assert written == []
    assert same(weights_of(live), before)


def test_what_an_evaluator_wrote_is_overwritten(live, workshop):
    plan = plan_of(live)
    live.apply(plan)
    before = weights_of(live)
    with torch.no_grad():
        live.model.get_parameter("model.layers.0.mlp.up_proj.weight").mul_(2)
        live.model.get_parameter("model.norm.weight").data = torch.zeros(32, dtype=torch.bfloat16)
        layer = live.model.model.layers[1].self_attn
        layer.q_proj.weight = torch.nn.Parameter(torch.zeros_like(layer.q_proj.weight), requires_grad=False)
    live.apply(plan)
    assert same(weights_of(live), before)


def test_after_a_failed_candidate_all_is_as_before(live):
    plan = plan_of(live)
    live.apply(plan)
    before = weights_of(live)
    broken = RECIPE.replace("return ties(", "return ja / (ja - ja) if site.layer == 1 else ties(")
    for _ in range(2):
        with pytest.raises(CandidateError, match=r"layers\.1\.mlp"):
            live.apply(plan_of(live, source=broken))
    live.apply(plan)
    assert same(weights_of(live), before)


def test_the_order_of_candidates_changes_nothing(live, workshop):
    random.seed(3)
    choices = [(random.choices([0.2, 0.5, 0.9], k=3), random.choice([0.3, 0.31, 0.8])) for _ in range(6)]
    expected = []
    for weights, density in choices:
        fresh = LiveModel(live.donors)
        fresh.apply(plan_of(fresh, weights, density))
        expected.append(weights_of(fresh))
    for index in random.choices(range(6), k=20):
        live.apply(plan_of(live, *choices[index]))
        assert same(weights_of(live), expected[index])


def test_stacks_and_scales_are_told_apart(live):
    straight = plan_of(live)
    scaled = RECIPE + '\ndef stack(donors):\n    return [("merged", 0), ("merged", 1, 2.0), ("base", 2)]\n'
    live.apply(straight)
    before = weights_of(live)
    live.apply(plan_of(live, source=scaled))
    other = weights_of(live)
    assert not same(before, other)
    live.apply(straight)
    assert same(weights_of(live), before)
    live.apply(plan_of(live, source=scaled))
    assert same(weights_of(live), other)


def test_what_is_not_finite_is_written_again_after_a_failure_elsewhere(live):
    """The candidate ends at layer 1; that layer 0 was not finite is not forgotten."""
    head = "import torch\n\ndef merge(site, base, ja):\n    broken = base / (base - base)\n"
    singular = "    if site.name.endswith('1.self_attn.q_proj.weight'):\n        return torch.linalg.inv(base * 0)\n"
    body = "    return broken if site.role == 'q_proj' and site.layer == 0 else ja\n"
    donors = {name: DonorInfo(3) for name in ("base", "ja")}
    with pytest.raises(RecipeError, match="inv failed"):
        live.apply(trace(head + singular + body, live.sites, donors).plan)
    with pytest.raises(CandidateError, match=r"layers\.0\.self_attn\.q_proj"):
        live.apply(trace(head + body, live.sites, donors).plan)
