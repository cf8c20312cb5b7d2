"""gather() and totals: traced, executed and eager."""

from __future__ import annotations

import math

import pytest
import torch

from evolve.errors import CandidateError, InvalidPlan, RecipeError, ShapeMismatch, ValueDependence
from evolve.execute.executor import Executor
from evolve.plan.plan import Plan
from evolve.plan.validate import PlanLimits
from evolve.recipe.eager import eager, eager_totals
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

SHAPES = {"embed.weight": (50, 8), "layers.0.q.weight": (300, 300), "layers.1.q.weight": (300, 300), "norm": (8,)}
SITES = [
    Site("embed.weight", None, 0.0, "embed", "embedding", SHAPES["embed.weight"]),
    *(Site(f"layers.{i}.q.weight", i, float(i), "q_proj", "attention", (300, 300)) for i in range(2)),
    Site("norm", None, 1.0, "final_norm", "norm", SHAPES["norm"]),
]
DONORS = {name: DonorInfo(2, ("fisher",)) for name in ("base", "ja", "math")}
GLOBAL_NORM = """
import torch
from evolve.recipe import knob
power = knob("power", 0.5, low=0.0, high=1.0)

def gather(site, base, ja):
    delta = ja - base
    found = {"squares": delta.square().sum(), "unused": ja.norm()}
    if site.layer is not None:
        found |= {"layers": 1, "positive": (delta > 0).sum(), "noise": torch.rand_like(base).mean()}
    return found

def merge(site, base, math, totals):
    length = totals["squares"].sqrt() * totals["layers"] / (totals["positive"] + totals["noise"])
    return base + (math - base) / (1 + length ** power)
"""


def tensors_of(name: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    return {donor: torch.randn(SHAPES[name], generator=generator).bfloat16() for donor in DONORS}


def statistic(donor: str, name: str, site: str) -> torch.Tensor:
    assert name == "fisher"
    return tensors_of(site)[donor].float().square()


def traced(source: str, limits: PlanLimits | None = None, sites=SITES) -> Plan:
    return trace(source, sites, DONORS, limits).plan


def program(gather: str, merge: str = "ja * totals['n']") -> str:
    return (
        f"import torch\ndef gather(site, ja):\n    return {gather}\ndef merge(site, ja, totals):\n    return {merge}\n"
    )


def failure(source: str, limits: PlanLimits | None = None) -> CandidateError:
    with pytest.raises(CandidateError) as caught:
        traced(source, limits)
    return caught.value


def executor_of(plan: Plan) -> Executor:
    """An executor that has computed the plan's totals."""
    executor = Executor(plan, statistics=statistic)
    executor.gather(tensors_of)
    return executor


def test_only_what_the_merge_reads_is_gathered():
    plan = traced(GLOBAL_NORM)
    assert plan.totals == ("layers", "noise", "positive", "squares")
    assert plan.donors == ("base", "ja", "math")
    names = [[gather.name for gather in site.gathers] for site in plan.sites]
    assert names == [["squares"], list(plan.totals), list(plan.totals), ["squares"]]
    assert Plan.from_json(plan.to_json()) == plan
    # One template merges; one for each name gathers.
    assert len(plan.templates) == 5


def test_the_traced_totals_are_the_eager_ones_to_the_bit():
    plan = traced(GLOBAL_NORM)
    expected = eager_totals(GLOBAL_NORM, SITES, tensors_of)
    assert set(expected) == {*plan.totals, "unused"}
    assert executor_of(plan).totals == {name: expected[name] for name in plan.totals}
    assert expected["layers"] == 2.0
    deltas = [(tensors_of(name)["ja"].float() - tensors_of(name)["base"].float()).double() for name in SHAPES]
    assert expected["squares"] == pytest.approx(sum(delta.square().sum().item() for delta in deltas), rel=1e-6)
    assert expected["positive"] == sum((delta > 0).sum().item() for delta in deltas[1:3])


def test_a_merge_with_a_global_norm_is_the_eager_one_to_the_bit():
    plan = traced(GLOBAL_NORM)
    totals = eager_totals(GLOBAL_NORM, SITES, tensors_of)
    executor = executor_of(plan)
    for site in SITES:
        donors = tensors_of(site.name)
        expected = eager(GLOBAL_NORM, site, donors, totals=totals)
        assert torch.equal(executor.compute_site(site.name, donors), expected)
        twice = {**totals, "squares": 4 * totals["squares"]}
        assert not torch.equal(eager(GLOBAL_NORM, site, donors, totals=twice), expected)


WITH_STATISTICS = """
def gather(site, **donors):
    return {f"weight_{name}": site.stat("fisher", name).mean() for name in donors}

def merge(site, totals, **donors):
    fisher = {name: site.stat("fisher", name) / totals[f"weight_{name}"] for name in donors}
    return sum(donors[name] * fisher[name] for name in donors) / sum(fisher.values())
"""


def test_statistics_in_gather_and_merge():
    plan = traced(WITH_STATISTICS)
    assert plan.totals == ("weight_base", "weight_ja", "weight_math")
    totals = eager_totals(WITH_STATISTICS, SITES, tensors_of, statistic)
    site = SITES[0]
    donors = tensors_of(site.name)
    expected = eager(WITH_STATISTICS, site, donors, statistics=statistic, totals=totals)
    fisher = {name: statistic(name, "fisher", site.name) / totals[f"weight_{name}"] for name in donors}
    by_hand = sum(donors[name].float() * fisher[name] for name in donors) / sum(fisher.values())
    assert torch.equal(expected, by_hand)
    executor = executor_of(plan)
    assert executor.totals == totals
    assert torch.equal(executor.compute_site(site.name, donors), expected)


def test_gather_gets_the_donors_that_it_names():
    assert traced(program("{'n': ja.sum()}")).donors == ("ja",)
    everything = "def gather(site, **donors):\n    return {'n': sum(d.sum() for d in donors.values())}\n"
    everything += "def merge(site, ja, totals):\n    return ja * totals['n']\n"
    assert traced(everything).donors == ("base", "ja", "math")


def test_without_totals_in_merge_gather_does_not_run():
    source = "def gather(site, ja):\n    return 1 / 0\ndef merge(site, ja):\n    return ja\n"
    plain = traced("def merge(site, ja):\n    return ja\n")
    assert traced(source) == plain and traced(source).digest == plain.digest


SAME = [
    ("{'n': ja.square().sum()}", "{'unused': ja.sum(), 'n': torch.sum(ja * 1.0 ** 2 * ja)}", False),
    ("{'n': ja.sum()}", "{'n': ja.sum(), 'm': ja.norm()}", True),
    ("{'n': 0.5 * ja.sum()}", "{'n': ja.sum() * (1 / 2)}", True),
    ("{'n': 2}", "{'n': 2.0}", True),
    ("{'n': ja.sum()} if site.layer == 1 else {}", "{'n': ja.sum()} if site.layer == 0 else {}", False),
    ("{'n': ja.sum()}", "{'n': ja.norm()}", False),
    ("{'n': 1}", "{'n': 3}", False),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_plans_are_equal_exactly_when_what_is_gathered_is(one, other, same):
    assert (traced(program(one)).digest == traced(program(other)).digest) is same


def test_the_name_of_a_total_does_not_matter():
    renamed = program("{'other': ja.sum()}", "ja * totals['other']")
    assert traced(renamed).digest == traced(program("{'n': ja.sum()}")).digest


@pytest.mark.parametrize(
    "value", ["torch.tensor(2.5)", "2.5", "torch.tensor(5) / 2", "True + 1.5", "site.depth * 0 + 2.5"]
)
def test_numbers_and_literals_are_gathered(value):
    source = program(f"{{'n': {value}}}")
    assert executor_of(traced(source)).totals == eager_totals(source, SITES, tensors_of) == {"n": 10.0}


def test_totals_are_a_read_only_mapping():
    body = (
        "ja * (len(totals) + 3 * ('n' in totals) + 5 * ('m' in totals)) + totals.get('m', 7.0) * sum(totals.values())"
    )
    plain = "ja * 4 + 7.0 * (0 + totals['n'])"
    assert traced(program("{'n': ja.sum()}", body)).digest == traced(program("{'n': ja.sum()}", plain)).digest
    assert "item assignment" in str(failure(program("{'n': 1}", "[totals for totals['n'] in [1]]")))


BAD_GATHERS = [
    ("{'n': ja}", ShapeMismatch, "under 'n' returned shape [50, 8]; reduce it to one number"),
    ("{'n': ja.sum(keepdim=True)}", ShapeMismatch, "shape [1, 1]"),
    ("{'n': torch.ones(1)}", ShapeMismatch, "shape [1]"),
    ("{'n': float('nan')}", RecipeError, "the number nan is not finite"),
    ("{'n': float('-inf')}", RecipeError, "not finite"),
    ("{'n': torch.tensor(float('inf'))}", RecipeError, "inf or nan"),
    ("{'n': 1e39}", RecipeError, "1e+39 is beyond float32"),
    ("{'n': 10 ** 30}", RecipeError, "64 bits"),
    ("{'n': 'one'}", RecipeError, "under 'n': an operand is a str"),
    ("{'n': None}", RecipeError, "NoneType"),
    ("{'n': [ja.sum()]}", RecipeError, "list"),
    ("{'n': ja.sum().item()}", ValueDependence, "item"),
    ("ja.sum()", RecipeError, "returned Symbolic; return a dict"),
    ("None", RecipeError, "returned NoneType; return a dict"),
    ("[('n', ja.sum())]", RecipeError, "returned list; return a dict"),
    ("{1: ja.sum()}", RecipeError, "the name 1;"),
    ("{'': ja.sum()}", RecipeError, "the name ''"),
    ("{'a\\nb': ja.sum()}", RecipeError, "the name 'a\\nb'"),
    ("{f'n{i}': 1.0 for i in range(65)}", RecipeError, "65 names, at most 64"),
    ("{'n': site.stat('gram', 'ja').sum()}", RecipeError, "embed has none"),
    ("{'n': 1 / 0}", RecipeError, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("gather", "kind", "text"), BAD_GATHERS)
def test_what_gather_must_not_return(gather, kind, text):
    error = failure(program(gather))
    assert isinstance(error, kind)
    assert text in str(error) and "gather() at site embed.weight" in str(error) and "\n" not in str(error)
    assert error.line in (2, 3)


@pytest.mark.parametrize("gather", [gather for gather, kind, _ in BAD_GATHERS if kind is not ValueDependence][:12])
def test_the_oracle_refuses_the_same(gather):
    if "torch.tensor(float" in gather:
        assert math.isinf(eager_totals(program(gather), SITES, tensors_of)["n"])
        return
    with pytest.raises(RecipeError, match="gather"):
        eager_totals(program(gather), SITES, tensors_of)


@pytest.mark.parametrize(
    ("gather", "merge", "text"),
    [
        ("{'norm': ja.norm()}", "ja * totals['nrom']", "totals has no 'nrom'; did you mean 'norm'?"),
        ("{'norm': ja.norm()}", "ja * totals['x']", "totals has no 'x'; gather() returns norm"),
        ("{'norm': ja.norm()}", "ja * totals[3]", "totals has no 3"),
        ("{}", "ja * totals['norm']", "totals has no 'norm'; gather() returns no name"),
        ("{'n': 1}", "ja * totals.n", "'Totals' object has no attribute 'n'"),
        ("{'n': 1}", "ja if totals['n'] > 0 else ja", "torch.where"),
        ("{'n': 1}", "totals['n']", "return a tensor of site.shape"),
    ],
)
def test_misuse_of_totals_is_named_with_its_line(gather, merge, text):
    error = failure(program(gather, merge))
    assert text in str(error) and "(site embed.weight)" in str(error)
    assert error.line in (4, 5)


def test_tensors_do_not_leak_from_gather_to_merge():
    source = "kept = {}\ndef gather(site, ja):\n    kept[site.name] = ja\n    return {'n': ja.sum()}\n"
    source += "def merge(site, ja, totals):\n    return ja + kept[site.name]\n"
    assert "keeps nothing between calls" in str(failure(source))
    assert "keeps nothing between calls" in str(failure(source.replace("ja + kept", "kept")))


def test_limits_of_gather():
    loop = "import itertools\ndef gather(site, ja):\n    for _ in itertools.count():\n        ja = ja * 1.5 + 1\n"
    error = failure(loop + "def merge(site, ja, totals):\n    return ja\n", PlanLimits(max_nodes_per_site=50))
    assert isinstance(error, InvalidPlan) and error.line == 4
    many = program("{f'n{site.name}{i}': 1.0 for i in range(20)}", "ja * sum(totals.values())")
    assert "80 totals, at most 64" in str(failure(many))


def test_gather_and_merge_draw_the_same_noise():
    source = program("{'n': (torch.rand_like(ja) * ja).sum()}", "torch.rand_like(ja) * ja / totals['n']")
    site = SITES[1]
    totals = eager_totals(source, [site], tensors_of)
    merged = eager(source, site, tensors_of(site.name), totals=totals)
    assert merged.double().sum().item() == pytest.approx(1.0, rel=1e-4)


def test_seeds_and_python_random_numbers_start_anew_at_every_site():
    source = "import random, torch\ntorch.manual_seed(3)\ndef gather(site, ja):\n    first = torch.rand(())\n"
    source += "    torch.manual_seed(9)\n    return {'n': first + torch.rand(()) + random.random()}\n"
    source += "def merge(site, ja, totals):\n    return ja * totals['n'] + torch.rand(()) * random.random()\n"
    totals = eager_totals(source, SITES, tensors_of)
    assert executor_of(traced(source)).totals == totals
    assert totals != eager_totals(source.replace("seed(3)", "seed(4)"), SITES, tensors_of)


def test_recipes_without_gather_have_no_totals():
    assert eager_totals("def merge(site, ja):\n    return ja\n", SITES, tensors_of) == {}
    assert eager_totals(program("{'n': 1}"), [], tensors_of) == {}
