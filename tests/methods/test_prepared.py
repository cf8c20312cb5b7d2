"""Methods on prepared donor statistics: fisher, regmean, adamerging; eagerly and as plans."""

from __future__ import annotations

import pytest
import torch

from evolve.errors import RecipeError
from evolve.execute.executor import Executor
from evolve.plan.statistics import available
from evolve.recipe.eager import eager, eager_totals
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

NAMES = ("base", "ja", "math")
UP = Site("model.layers.1.mlp.up_proj.weight", 1, 0.5, "up_proj", "mlp", (6, 4))
NORM = Site("model.layers.1.input_layernorm.weight", 1, 0.5, "input_norm", "norm", (6,))
BIAS = Site("model.layers.1.mlp.up_proj.bias", 1, 0.5, "up_proj", "mlp", (6,), "bias")
EMBED = Site("model.embed_tokens.weight", None, 0.0, "embed", "embedding", (9, 4))
SITES = [UP, NORM, BIAS, EMBED]
HEADER = "from evolve.methods import *\ndef merge(site, base, ja, math):\n    return "
FISHER = "fisher(site, {'ja': ja, 'math': math}, {'ja': 0.4, 'math': 0.7}, floor=1e-5)"
REGMEAN = "regmean(site, {'ja': ja, 'math': math}, alpha=0.8)"
ADAMERGING = "adamerging(site, base, {'ja': ja, 'math': math}, scale=0.9)"


@pytest.fixture(scope="module")
def inputs(draw):
    """Inputs of the layer in each expert, (examples, in)."""
    first, second = draw(5, 2, (30, 4))
    return {"ja": first, "math": second * torch.tensor([1.0, 3.0, 0.1, 1.0])}


@pytest.fixture(scope="module")
def statistics(draw, inputs):
    """Made beforehand: inside a recipe torch draws the recipe's noise."""
    made = {("ja", "adamerging"): torch.tensor(0.3), ("math", "adamerging"): torch.tensor(-0.2)}
    for donor, seen in inputs.items():
        made[donor, "gram"] = seen.T @ seen / len(seen)
        seed = NAMES.index(donor)
        made.update({(donor, "fisher", site.name): draw(seed, 1, site.shape)[0].square() for site in SITES})
    return lambda donor, name, site: made[(donor, name, site) if name == "fisher" else (donor, name)]


@pytest.fixture(scope="module")
def donors(draw):
    return {site.name: dict(zip(NAMES, draw(8, 3, site.shape), strict=True)) for site in SITES}


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.role + site.kind)
@pytest.mark.parametrize("call", [FISHER, REGMEAN, ADAMERGING], ids=["fisher", "regmean", "adamerging"])
def test_the_plan_is_the_method(call, site, donors, statistics):
    prepared = {name: DonorInfo(4, ("adamerging", "fisher", "gram")) for name in NAMES}
    plan = trace(HEADER + call, [site], prepared).plan
    result = Executor(plan, statistics=statistics).compute_site(site.name, donors[site.name])
    assert torch.equal(result, eager(HEADER + call, site, donors[site.name], statistics=statistics))


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.role + site.kind)
def test_formulas(site, donors, statistics):
    tensors = donors[site.name]
    base, ja, math = tensors.values()
    left, right = (statistics(name, "fisher", site.name).clamp(min=1e-5) for name in ("ja", "math"))
    expected = (0.4 * left * ja + 0.7 * right * math) / (0.4 * left + 0.7 * right)
    torch.testing.assert_close(eager(HEADER + FISHER, site, tensors, statistics=statistics), expected)
    expected = base + 0.9 * (0.3 * (ja - base) - 0.2 * (math - base))
    torch.testing.assert_close(eager(HEADER + ADAMERGING, site, tensors, statistics=statistics), expected)
    if not available("gram", site):
        torch.testing.assert_close(eager(HEADER + REGMEAN, site, tensors, statistics=statistics), (ja + math) / 2)


def test_regmean_fits_the_outputs_of_every_expert(donors, statistics, inputs):
    tensors = donors[UP.name]
    merged = eager(f"{HEADER}regmean(site, {{'ja': ja, 'math': math}}, 1.0)", UP, tensors, statistics=statistics)
    # The same least squares by stacking what each expert's layer does to its own inputs.
    stacked = torch.cat([inputs[name] for name in ("ja", "math")])
    outputs = torch.cat([inputs[name] @ tensors[name].T for name in ("ja", "math")])
    solution = torch.linalg.lstsq(stacked, outputs).solution.T
    torch.testing.assert_close(merged, solution, rtol=1e-4, atol=1e-4)


def test_regmean_without_products_of_inputs_is_an_average_weighted_by_their_energy(donors, statistics, inputs):
    tensors = donors[UP.name]
    merged = eager(f"{HEADER}regmean(site, {{'ja': ja, 'math': math}}, 0.0)", UP, tensors, statistics=statistics)
    left, right = (inputs[name].square().mean(0) for name in ("ja", "math"))
    expected = (tensors["ja"] * left + tensors["math"] * right) / (left + right)
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)


def test_regmean_of_inputs_that_never_occur_is_the_average(donors):
    tensors = donors[UP.name]

    source = f"{HEADER}regmean(site, {{'ja': ja, 'math': math}})"
    for gram in (torch.diag(torch.tensor([1.0, 2.0, 0.0, 0.0])), torch.zeros(4, 4)):
        merged = eager(source, UP, tensors, statistics=lambda *_, gram=gram: gram)
        torch.testing.assert_close(merged, (tensors["ja"] + tensors["math"]) / 2)


def test_fisher_with_norms_over_the_whole_model(donors, statistics):
    source = """
from evolve.methods import fisher
def gather(site, ja, math):
    return {name: site.stat("fisher", name).square().sum() for name in ("ja", "math")}
def merge(site, ja, math, totals):
    return fisher(site, {"ja": ja, "math": math}, {name: 1 / totals[name].sqrt() for name in totals})
"""
    totals = eager_totals(source, SITES, donors.__getitem__, statistics)
    merged = eager(source, UP, donors[UP.name], statistics=statistics, totals=totals)
    tensors, weighted = donors[UP.name], {}
    for name in ("ja", "math"):
        whole = torch.cat([statistics(name, "fisher", site.name).flatten() for site in SITES])
        weighted[name] = statistics(name, "fisher", UP.name).clamp(min=1e-6) / whole.norm()
    expected = sum(weighted[name] * tensors[name] for name in weighted) / sum(weighted.values())
    torch.testing.assert_close(merged, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("fisher(site, {})", "fisher needs at least one donor"),
        ("fisher(site, {'ja': ja}, floor=-1)", "floor is -1"),
        ("regmean(site, {'ja': ja}, alpha=2)", "alpha is 2; it must lie between 0 and 1"),
        ("adamerging(site, base, {})", "adamerging needs at least one donor"),
    ],
)
def test_wrong_arguments_are_named(call, message, donors, statistics):
    with pytest.raises(RecipeError, match=message):
        eager(HEADER + call, UP, donors[UP.name], statistics=statistics)
