"""Tracing: plans, lines of errors, knobs, stacks, seeds."""

from __future__ import annotations

import json

import pytest

from evolve.errors import (
    CandidateError,
    InvalidPlan,
    RecipeError,
    RecipeSyntaxError,
    ShapeMismatch,
    UnsupportedOperation,
    ValueDependence,
)
from evolve.plan.plan import Plan, StackEntry
from evolve.plan.validate import PlanLimits
from evolve.recipe.trace import DonorInfo, serve, trace
from evolve.site import Site

DONORS = {name: DonorInfo(2) for name in ("base", "ja", "math")}
SITES = [
    Site("embed.weight", None, 0.0, "embed", "embedding", (10, 4)),
    *(Site(f"layers.{i}.q.weight", i, float(i), "q_proj", "attention", (4, 4)) for i in range(2)),
    Site("norm.weight", None, 1.0, "final_norm", "norm", (4,)),
]


def plan_of(body: str, *, header: str = "") -> Plan:
    """The plan of a merge() whose body may be one expression or indented lines."""
    if "return" not in body:
        body = f"return {body}"
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return trace(f"import torch\n{header}\ndef merge(site, base, ja, math):\n{lines}\n", SITES, DONORS).plan


def failure(source: str, limits: PlanLimits | None = None) -> CandidateError:
    with pytest.raises(CandidateError) as caught:
        trace(source, SITES, DONORS, limits)
    return caught.value


def test_layers_of_one_role_share_a_template():
    plan = plan_of("base + (1 - 0.5 * site.depth) * (ja - base)")
    assert len(plan.templates) == 2  # depth 0 multiplies by one, which is folded away
    assert plan.donors == ("base", "ja")
    assert [site.values for site in plan.sites] == [(), (), (0.5,), (0.5,)]
    assert Plan.from_json(plan.to_json()) == plan


def test_numbers_are_lifted_and_shared():
    (template,) = plan_of("ja * (site.depth + 2) + base * (site.depth + 2) + math * 3.5").templates
    assert sum(node.op == "value" for node in template.nodes) == 2


SAME = [
    ("0.5 * ja", "ja * (1 / 2)"),
    ("0.5 * ja", "ja / 1 * 0.5"),
    ("2 * ja", "ja * 2.0"),
    ("ja + math", "math + ja"),
    ("ja * base + math", "math + base * ja"),
    ("(ja - base) + (ja - base)", "d = ja - base\nreturn d + d"),
    ("ja", "unused = base.sum() * math\nreturn ja"),
    ("ja - 0", "+ja.clone().detach().contiguous().float().to(base.dtype)"),
    ("-(-ja)", "ja"),
    ("ja.sum(-1, keepdim=True) + ja", "torch.sum(ja, dim=(ja.ndim - 1,), keepdim=True).add(ja)"),
    ("ja.flatten().reshape(site.shape) + 1", "ja.view(-1).view(*site.shape) + 1"),
    ("(ja > 0) & (math > 0)", "torch.logical_and(ja > 0, math > 0)"),
    ("torch.zeros_like(ja) + ja", "torch.zeros(site.shape) + ja"),
    ("ja @ ja.T @ ja", "torch.matmul(ja.mm(ja.t()), ja)"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_computation_has_one_digest(one, other):
    sites = [site for site in SITES if site.shape == (4, 4)]

    def square(body):
        body = body if "return" in body else f"return {body}"
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        source = f"import torch\ndef inner(site, base, ja, math):\n{lines}\n"
        source += "def merge(site, base, ja, math):\n    r = inner(site, base, ja, math)\n    return r.float()\n"
        return trace(source, sites, DONORS).plan.digest

    assert square(one) == square(other)


DIFFERENT = [
    "ja",
    "math",
    "ja + math",
    "ja - math",
    "math - ja",
    "ja * 0.5",
    "ja * 0.25",
    "ja * 0.5 + 0.5",
    "ja + 0.0",
    "ja - -0.0",
    "ja.sum() + base",
    "ja.sum(0) + base",
    "ja * torch.tensor(0.5)",
    "ja * torch.tensor(0.0)",
    "ja * torch.tensor(-0.0)",
    "torch.rand_like(ja)",
    "torch.randn_like(ja)",
    "torch.rand_like(ja) + 0 * torch.rand_like(ja)",
    "ja ** 2",
    "ja ** 3",
    "ja.maximum(math)",
    "ja.minimum(math)",
    "ja.flip(0)",
    "ja.roll(1, 0)",
    "ja.roll(2, 0)",
]


def test_different_computations_have_different_digests():
    digests = [plan_of(body).digest for body in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)


def test_names_and_unused_donors_do_not_matter():
    renamed = "from torch import *\nknobby = 0.25\ndef part_of_it(a, b):\n    return (b - a) * knobby\n"
    renamed += "def merge(s, ja, base):\n    '''Other text.'''\n    return part_of_it(base, ja) + base\n"
    plain = plan_of("base + 0.25 * (ja - base)")
    assert trace(renamed, SITES, DONORS).plan.digest == plain.digest
    starred = "def merge(site, **d):\n    return d['base'] + 0.25 * (d['ja'] - d['base'])\n"
    assert trace(starred, SITES, DONORS).plan.digest == plain.digest


def test_order_of_templates_does_not_matter():
    plan = plan_of("ja if site.layer is None else base * 0.5")
    swapped = plan.to_dict()
    swapped["templates"].reverse()
    for site in swapped["sites"]:
        site["template"] = len(plan.templates) - 1 - site["template"]
    assert Plan.from_dict(swapped) != plan
    assert Plan.from_dict(swapped).digest == plan.digest


ERRORS = [
    ("ja if ja.sum() > 0 else base", ValueDependence, "torch.where"),
    ("ja * float(ja.mean())", ValueDependence, "float"),
    ("ja * ja.mean().item()", ValueDependence, "item"),
    ("ja * int(ja.mean())", ValueDependence, "int"),
    ("ja.kthvalue(ja.argmax()).values", ValueDependence, "Python number"),
    ("ja[ja > 0]", ValueDependence, "torch.where"),
    ("ja.nonzero()", ValueDependence, "nonzero"),
    ("max(ja, math)", ValueDependence, "torch.where"),
    ("f'{ja.mean():.3f}'", ValueDependence, "formatting"),
    ("torch.tensor([ja.mean(), math.mean()]).sum() * ja", ValueDependence, "torch.stack"),
    ("ja.masked_select(ja > 0)", ValueDependence, "torch.where"),
    ("torch.allclose(ja, math)", ValueDependence, "isclose"),
    ("ja.add_(1)", UnsupportedOperation, "x = x.add(...)"),
    ("torch.fft.fft(ja)", UnsupportedOperation, "fft"),
    ("torch.kron(ja, math)", UnsupportedOperation, "kron"),
    ("ja.sofmax(0)", RecipeError, "sofmax"),
    ("torch.nn.functional.layer_norm(ja, (4,))", UnsupportedOperation, "layer_norm"),
    ("torch.empty(3)", UnsupportedOperation, "torch.zeros"),
    ("torch.randint(3, (2,))", UnsupportedOperation, "torch.rand"),
    ("torch.rand(2, generator=torch.Generator())", UnsupportedOperation, "manual_seed"),
    ("torch.tensor([0.5]).uniform_()", UnsupportedOperation, "torch.rand"),
    ("torch.add(ja, 1, out=math)", RecipeError, "out"),
    ("torch.relu(ja) + torch.nn.functional.relu(ja, inplace=True)", UnsupportedOperation, "inplace"),
    ("ja @ torch.ones(3, 3)", ShapeMismatch, "[3, 3]"),
    ("ja + torch.ones(3)", ShapeMismatch, "[10, 4] and [3]"),
    ("ja.sum(5)", ShapeMismatch, "dimension 5"),
    ("ja[99]", ShapeMismatch, "99"),
    ("ja[0]", ShapeMismatch, "return a tensor of site.shape"),
    ("ja > 0", RecipeError, "torch.bool"),
    ("None", RecipeError, "None"),
    ("0.5", RecipeError, "float"),
    ("ja * float('nan')", RecipeError, "not finite"),
    ("ja * 10**30", RecipeError, "64 bits"),
    ("ja + 'a'", RecipeError, "str"),
    ("ja.double()", RecipeError, "float32"),
    ("ja.half()", RecipeError, "rounded once"),
    ("torch.zeros(3, dtype=torch.float64)", RecipeError, "float32"),
    ("torch.tensor([0.5], dtype=torch.float64) * ja", RecipeError, "float32"),
    ("ja.sum() * torch.tensor([0.5] * 5000)", RecipeError, "4096"),
    ("ja - (ja > 0) - (ja > 1) - True", RecipeError, "bool"),
    ("site.role_name", RecipeError, "did you mean 'role'"),
    ("site.stat('fisher', 'ja') * ja", RecipeError, "is not prepared; run `evolve donors PROBLEM --prepare`"),
    ("1 / 0", RecipeError, "ZeroDivisionError: division by zero"),
    ("undefined * ja", RecipeError, "NameError"),
    ("exit(3)", RecipeError, "SystemExit: 3"),
    ("(lambda f: f(f))(lambda f: f(f))", RecipeError, "RecursionError"),
]


@pytest.mark.parametrize(("body", "kind", "text"), ERRORS)
def test_errors_name_what_where_and_the_line(body, kind, text):
    source = f"import torch\n\ndef merge(site, base, ja, math):\n    result = {body}\n    return result\n"
    if body.startswith("ja - (ja"):
        source = source.replace(body, "(ja > 0) - (ja > 1)")
    error = failure(source)
    assert isinstance(error, kind)
    assert text in str(error)
    assert "embed.weight" in str(error)
    assert error.line in (3, 4)


def test_item_assignment_names_the_functional_forms():
    error = failure("def merge(site, ja):\n    ja[0] = 1\n    return ja\n")
    assert isinstance(error, UnsupportedOperation)
    assert "torch.where" in str(error) and error.line == 2


def test_errors_in_functions_and_methods_point_at_the_recipe():
    source = "from evolve.methods import ties\ndef part_of_it(t):\n    return ties(t, [])\n\n"
    source += "def merge(site, ja):\n    return part_of_it(ja)\n"
    error = failure(source)
    assert error.line == 3
    assert error.kind == "ValueError"


@pytest.mark.parametrize(
    ("source", "line"), [("def merge(site:\n", 1), ("x = 1\nfor\n", 2), ("a\0b", None), ("(" * 5000, None)]
)
def test_syntax_errors(source, line):
    error = failure(source)
    assert isinstance(error, RecipeSyntaxError)
    assert line is None or error.line == line


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = 1", "no merge(site, ...)"),
        ("merge = 3", "no merge(site, ...)"),
        ("def merge():\n    pass", "must be `site`"),
        ("def merge(base, ja):\n    return ja", "must be `site`"),
        ("def merge(*args):\n    return args[1]", "must be `site`"),
        ("def merge(site, *args):\n    return args[1]", "by name"),
        ("def merge(site, maths):\n    return maths", "did you mean 'math'"),
        ("def merge(site, totals, ja):\n    return ja", "defines no gather(site, ...)"),
        ("from torch import *\ndef merge(site, ja, totals=None):\n    return ja", "defines no gather(site, ...)"),
        ("def gather():\n    return {}\ndef merge(site, ja):\n    return ja", "gather() takes no site"),
        ("def gather(site, maths):\n    return {}\ndef merge(site, ja):\n    return ja", "gather() asks for donor 'ma"),
        ("def gather(site, totals):\n    return {}\ndef merge(site, ja):\n    return ja", "cannot ask for totals"),
        ("import torch\nw = torch.rand(3)\ndef merge(site, ja):\n    return ja", "inside merge()"),
        ("import torch\nw = torch.zeros(30000, 30000)\ndef merge(site, ja):\n    return ja", "inside merge()"),
    ],
)
def test_malformed_programs(source, text):
    assert text in str(failure(source))


def test_tensors_do_not_leak_between_sites():
    error = failure("kept = []\ndef merge(site, ja):\n    kept.append(ja)\n    return kept[0] + ja\n")
    assert "keeps nothing between calls" in str(error)


def test_too_many_operations_are_stopped_early():
    error = failure(
        "def merge(site, ja):\n    while True:\n        ja = ja * 1.5 + 1\n", PlanLimits(max_nodes_per_site=100)
    )
    assert isinstance(error, InvalidPlan)
    assert error.line == 3


def test_large_intermediates_are_refused_without_memory():
    error = failure("import torch\ndef merge(site, ja):\n    return torch.ones(10**6, 10**6).sum() + ja\n")
    assert isinstance(error, InvalidPlan)
    assert "1000000000000 elements" in str(error)


def test_module_level_literals_are_constants():
    plan = plan_of("ja * table[site.layer or 0]", header="table = torch.linspace(0, 1, 3); table[0] = 4")
    assert {node.op for template in plan.templates for node in template.nodes} == {"donor", "constant", "mul"}


def test_knobs_are_collected_in_order():
    source = "from evolve.recipe import knob\na = knob('a', 0.5, low=0, high=1)\n"
    source += "def merge(site, ja):\n    return ja * a * knob('w', [1, 2], low=0, high=3)[1]\n"
    traced = trace(source, SITES, DONORS)
    assert [knob.to_dict() for knob in traced.knobs] == [
        {"name": "a", "value": 0.5, "low": 0.0, "high": 1.0},
        {"name": "w", "value": [1.0, 2.0], "low": 0.0, "high": 3.0},
    ]


def stacked(body: str, header: str = "") -> str:
    return f"{header}\ndef stack(donors):\n    {body}\n\ndef merge(site, base):\n    return base\n"


def test_stack_entries():
    source = stacked("return [('merged', 0), ('ja', 1, 0.5), {'model': 'base', 'layer': donors['base'].layers - 1}]")
    plan = trace(source, SITES, DONORS).plan
    assert plan.stack == (StackEntry("merged", 0, 1.0), StackEntry("ja", 1, 0.5), StackEntry("base", 1, 1.0))
    assert plan.donors == ("base", "ja")
    assert Plan.from_json(plan.to_json()).digest == plan.digest


def test_the_models_own_layers_are_no_stack():
    plain = trace("def merge(site, base):\n    return base\n", SITES, DONORS).plan
    natural = trace(stacked("return [('merged', 0), ('merged', 1)]"), SITES, DONORS).plan
    assert natural.stack is None and natural.digest == plain.digest
    assert trace(stacked("return [('merged', 1), ('merged', 0)]"), SITES, DONORS).plan.digest != plain.digest


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return []", "0 layers"),
        ("return None", "NoneType"),
        ("return [('merged', 0), ('en', 1)]", "entry 1: model 'en'"),
        ("return [('merged', 2)]", "entry 0: layer 2"),
        ("return [('merged', -1)]", "entry 0: layer -1"),
        ("return [('merged', 0.5)]", "entry 0: layer 0.5"),
        ("return [('merged', 0, 0)]", "not zero"),
        ("return [('merged', 0, float('nan'))]", "not finite"),
        ("return [('merged', 0, 'a')]", "entry 0: scale"),
        ("return ['merged']", "entry 0"),
        ("return [{'model': 'merged'}]", "must have model and layer"),
        ("return [('merged', 0)] * 5000", "5000 layers"),
        ("return donors['en']", "KeyError"),
    ],
)
def test_bad_stacks(body, text):
    error = failure(stacked(body))
    assert text in str(error)
    assert error.line in (2, 3)


def test_serve_speaks_plain_data():
    source = "from evolve.recipe import knob\n\ndef merge(site, ja):\n    return ja * knob('a', 0.5, low=0, high=1)\n"
    request = {
        "source": source,
        "sites": [site.to_dict() for site in SITES],
        "donors": {"base": {"layers": 2}, "ja": {"layers": 2}},
        "limits": {"max_nodes_per_site": 64},
    }
    reply = json.loads(json.dumps(serve(json.loads(json.dumps(request)), {})))
    assert Plan.from_dict(reply["plan"]).donors == ("ja",)
    assert reply["knobs"] == [{"name": "a", "value": 0.5, "low": 0.0, "high": 1.0}]


def test_serve_takes_the_prepared_statistics_of_donors():
    request = {
        "source": "def merge(site, ja):\n    return ja * site.stat('fisher', 'base')\n",
        "sites": [site.to_dict() for site in SITES],
        "donors": {"base": {"layers": 2, "statistics": ["fisher"]}, "ja": {"layers": 2}},
    }
    plan = Plan.from_dict(json.loads(json.dumps(serve(json.loads(json.dumps(request)))))["plan"])
    assert plan.donors == ("base", "ja")
    del request["donors"]["base"]["statistics"]
    with pytest.raises(RecipeError, match="not prepared"):
        serve(request)


def test_tracing_leaves_the_process_as_it_was():
    import random

    import torch

    state, seed_function = random.getstate(), torch.manual_seed
    plan_of("ja * random.random()", header="import random; torch.manual_seed(3)")
    assert random.getstate() == state
    assert torch.manual_seed is seed_function
    assert isinstance(torch.zeros(2), torch.Tensor)
