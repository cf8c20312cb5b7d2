from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from evolve.donors.donor_model import bare_model
from evolve.donors.donors import load_donors
from evolve.errors import RecipeError, UsageError
from evolve.merge.adamerging import entropy, padded
from evolve.merge.gradient import Objective, knob_gradient, slot_gradient
from evolve.plan.plan import StackEntry
from evolve.recipe import eager, trace

TEXTS = [[1, 5, 9, 13, 7, 6], [1, 20, 21, 22], [1, 30, 31, 32, 33]]

RECIPE = """
import torch
from evolve.recipe import knob

a = knob("a", {a}, low=-1.0, high=2.0)
b = knob("b", {b}, low=-1.0, high=2.0)
c = knob("c", {c}, low=0.0, high=1.0)

def merge(site, base, ja):
    tau = ja - base
    if site.block == "attention":
        return torch.lerp(base, ja, a) + (1 - b) * tau.abs().mean() * 0.1
    if site.block == "mlp":
        scale = torch.linalg.vector_norm(tau)
        return base + a * b * tau / (scale ** b) + 0.02 * site.depth
    return base + b * tau.clamp(-c, c)
"""
TOTALS = """
import torch
from evolve.recipe import knob

a = knob("a", {a}, low=-1.0, high=2.0)
b = knob("b", {b}, low=-1.0, high=2.0)

def gather(site, base, ja):
    return {{"size": (a * (ja - base)).square().sum(), "count": float(ja.numel())}}

def merge(site, base, ja, totals):
    return base + b * (ja - base) / (totals["size"] / totals["count"]).sqrt()
"""
STATISTIC = """
from evolve.recipe import knob

a = knob("a", {a}, low=0.0, high=2.0)

def merge(site, base, ja):
    return base + a * site.stat("adamerging", "ja") * (ja - base)
"""


def _statistic(donor, name, site):
    return torch.tensor(0.1 + 0.01 * (len(site) % 7))


@pytest.fixture
def world(workshop):
    """Donors, and an objective: the entropy of a real Llama in float64, so that finite differences mean something."""
    donors = load_donors(workshop.donors("llama", "base", "ja"))
    model = bare_model(donors.reference.config, "cpu").double()
    ids, seen = padded(TEXTS, torch.device("cpu"))
    return donors, Objective(donors.tensors_of, model, lambda live: entropy(live, ids, seen), _statistic)


def _infos(donors):
    return {name: trace.DonorInfo(donor.layers, ("adamerging",)) for name, donor in donors.items()}


def _plans(source, donors):
    def plan_of(knobs):
        return trace.trace(source.format(**knobs), donors.sites, _infos(donors)).plan

    return plan_of


def _loss(source, knobs, donors, objective):
    """The loss of the eager recipe, computed without any of the code under test."""
    text = source.format(**knobs)
    merged = {
        f"model.{site.name}": eager.eager(text, site, donors.tensors_of(site.name)).double() for site in donors.sites
    }
    return float(functional_call(_Wrapped(objective), merged, ()))


class _Wrapped(torch.nn.Module):
    def __init__(self, objective):
        super().__init__()
        self.model, self.loss = objective.model, objective.loss

    def forward(self):
        return self.loss(self.model)


def _difference(source, knobs, name, donors, objective, step=1e-3):
    sides = [_loss(source, {**knobs, name: knobs[name] + sign * step}, donors, objective) for sign in (1, -1)]
    return (sides[0] - sides[1]) / (2 * step)


@pytest.mark.parametrize("knobs", [{"a": 0.4, "b": 0.7, "c": 0.2}, {"a": 0.5, "b": 0.5, "c": 0.5}])
def test_knob_gradients_are_the_slopes_of_the_loss(world, knobs):
    donors, objective = world
    bounds = {"a": (-1.0, 2.0), "b": (-1.0, 2.0), "c": (0.0, 1.0)}
    found = knob_gradient(_plans(RECIPE, donors), knobs, bounds, objective)
    assert found.loss == pytest.approx(_loss(RECIPE, knobs, donors, objective), rel=1e-5)
    for name in knobs:
        assert found.knobs[name] == pytest.approx(_difference(RECIPE, knobs, name, donors, objective), rel=2e-2), name
    assert max(map(abs, found.knobs.values())) > 1e-2


def test_a_knob_at_its_bound_has_a_gradient(world):
    donors, objective = world
    knobs, bounds = {"a": 2.0, "b": -1.0, "c": 0.3}, {"a": (-1.0, 2.0), "b": (-1.0, 2.0), "c": (0.0, 1.0)}
    found = knob_gradient(_plans(RECIPE, donors), knobs, bounds, objective)
    sides = [_loss(RECIPE, {**knobs, "a": value}, donors, objective) for value in (2.0, 1.9995)]
    assert found.knobs["a"] == pytest.approx((sides[0] - sides[1]) / 5e-4, rel=0.05)


def test_the_gradient_goes_through_totals(world):
    donors, objective = world
    # the oracle of one site knows no totals, so the loss itself is taken from other plans
    plan_of, knobs = _plans(TOTALS, donors), {"a": 0.8, "b": 0.05}
    bounds = dict.fromkeys(knobs, (-1.0, 2.0))
    found = knob_gradient(plan_of, knobs, bounds, objective)
    for name in knobs:
        sides = [slot_gradient(plan_of({**knobs, name: knobs[name] + step}), objective).loss for step in (5e-4, -5e-4)]
        assert found.knobs[name] == pytest.approx((sides[0] - sides[1]) / 1e-3, rel=2e-2), name
    # a larger `a` shrinks every step as a smaller `b` does
    assert found.knobs["a"] * 0.8 == pytest.approx(-found.knobs["b"] * 0.05, rel=1e-3)


def test_statistics_are_read_per_site(world):
    donors, objective = world
    plan = _plans(STATISTIC, donors)({"a": 0.6})
    found = slot_gradient(plan, objective)
    slope = sum(sum(slots) for slots in found.slots.values())
    sides = []
    for step in (5e-3, -5e-3):
        sides.append(slot_gradient(_plans(STATISTIC, donors)({"a": 0.6 + step}), objective).loss)
    assert slope == pytest.approx((sides[0] - sides[1]) / 1e-2, rel=2e-2)


def test_the_model_is_not_changed(world):
    donors, objective = world
    for parameter in objective.model.parameters():
        parameter.fill_(0.5)
    before = [parameter.clone() for parameter in objective.model.parameters()]
    slot_gradient(_plans(STATISTIC, donors)({"a": 0.6}), objective)
    assert all(map(torch.equal, before, objective.model.parameters()))
    assert not any(parameter.requires_grad for parameter in objective.model.parameters())


def test_a_knob_that_changes_the_operations_has_no_gradient(world):
    donors, objective = world
    source = "from evolve.recipe import knob\na = knob('a', {a}, low=0.0, high=1.0)\n"
    source += "def merge(site, base, ja):\n    return base * a if a < 0.50001 else base + ja * a\n"
    with pytest.raises(RecipeError, match="knob 'a' changes the recipe's operations near 0.5"):
        knob_gradient(_plans(source, donors), {"a": 0.5}, {"a": (0.0, 1.0)}, objective)


def test_a_stack_has_no_gradient(world, mix):
    donors, objective = world
    plan = mix(donors.sites, {"ja": 1.0}, [("merged", 0, 1.0)])
    assert isinstance(plan.stack[0], StackEntry)
    with pytest.raises(UsageError, match="does not follow a stack"):
        slot_gradient(plan, objective)


def test_tied_embeddings_count_with_both_uses(workshop, mix):
    donors = load_donors(workshop.donors("qwen2", "base", "ja"))
    model = bare_model(donors.reference.config, "cpu").double()
    ids, seen = padded(TEXTS, torch.device("cpu"))
    objective = Objective(donors.tensors_of, model, lambda live: entropy(live, ids, seen))

    def moved(step):
        plan = mix(donors.sites, {"base": 0.3, "ja": 0.6})
        sites = [
            site._replace(values=(0.3, 0.6 + step)) if site.name == "model.embed_tokens.weight" else site
            for site in plan.sites
        ]
        return slot_gradient(type(plan)(plan.donors, plan.templates, tuple(sites)), objective)

    slope = (moved(5e-3).loss - moved(-5e-3).loss) / 1e-2
    assert moved(0.0).slots["model.embed_tokens.weight"][1] == pytest.approx(slope, rel=2e-2)
