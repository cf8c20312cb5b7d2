"""Whatever passes validation can be executed: the rules promise no more than torch does."""

from __future__ import annotations

import warnings

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.errors import InvalidPlan, RecipeError
from evolve.execute.executor import Executor
from evolve.plan.operations import OPERATIONS
from evolve.plan.plan import Plan
from evolve.plan.validate import PlanLimits, validate
from evolve.site import Site

torch.set_num_threads(1)

LIMITS = PlanLimits(intermediate_floor=4096, max_work_per_site=1e7)
# What depends on the numbers, which validation does not see.
NUMERIC = (
    "converge",
    "singular",
    "positive-definite",
    "overflow",
    "ZeroDivisionError",
    "negative integer powers",
    "non-finite",
)

DIMENSION = st.integers(0, 2)
SIZES = st.lists(st.integers(0, 5), max_size=3)
KINDS = {
    "bool": st.booleans(),
    "integer": st.integers(-3, 3),
    "size": st.integers(0, 4),
    "index": DIMENSION,
    "index?": st.none() | DIMENSION,
    "dims": st.lists(DIMENSION, max_size=2, unique=True),
    "dims?": st.none() | st.lists(DIMENSION, max_size=2, unique=True),
    "shape": SIZES,
    "shape?": st.none() | SIZES,
    "integers": st.lists(st.integers(-3, 3), max_size=2),
    "dtype": st.sampled_from(["float32", "int64", "bool"]),
    "interpolation": st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest"]),
    "gelu": st.sampled_from(["none", "tanh"]),
    "qr_mode": st.sampled_from(["reduced", "complete"]),
    "matrix_order": st.sampled_from(["fro", "nuc", "inf", "-inf", "1", "-1", "2", "-2"]),
    "equation": st.sampled_from(
        ["ij,jk->ik", "ij->j", "ij->", "ii->i", "i,i->", "i,j->ij", "ij,ij->i", "ijk->kj", "->"]
    ),
}
NOISE = {"distribution": "uniform", "shape": None, "index": 0, "seed": 0}
NUMBERS = [2, 0.5, -1, 0, True, 2**62, 1e300, 3]
SHAPES = [(4, 4), (3, 5), (6,), (1,), (2, 3, 2)]


@st.composite
def plans(draw) -> tuple[Plan, tuple[int, ...]]:
    """A site whose output adds up everything that random operations make of donors, noise and numbers."""
    shape = draw(st.sampled_from(SHAPES))
    nodes = [["donor", [], {"name": "ja"}], ["donor", [], {"name": "math"}], ["noise", [], NOISE]]
    nodes += [["value", [], {"slot": slot}] for slot in range(2)]
    nodes += [
        ["cast", [0], {"dtype": "int64"}],
        ["isnan", [1], {}],
        ["constant", [], {"dtype": "int64", "shape": [2], "data": [1, 0]}],
    ]
    start = len(nodes)
    for _ in range(draw(st.integers(1, 4))):
        operation = OPERATIONS[draw(st.sampled_from(sorted(OPERATIONS)))]
        inputs = []
        letters = (
            operation.operands
            if not operation.operands.endswith("*")
            else operation.operands[0] * draw(st.integers(1, 2))
        )
        for letter in letters:
            tensor = letter == "t" or (letter == "x" and draw(st.booleans()))
            choices = [i for i, node in enumerate(nodes) if (node[0] != "value") == tensor]
            inputs.append(draw(st.sampled_from(choices)))
        attributes = {
            name: draw(st.integers(0, len(operation.outputs) - 1)) if name == "output" else draw(KINDS[kind])
            for name, kind in operation.attributes.items()
        }
        nodes.append([operation.name, inputs, attributes])
    total = 0
    for index in range(start, len(nodes)):
        nodes += [["sum", [index], {"dims": None, "keepdim": False}], ["cast", [len(nodes)], {"dtype": "float32"}]]
        nodes.append(["add", [total, len(nodes) - 1], {}])
        total = len(nodes) - 1
    nodes.append(["maximum", [total, 1], {}])
    values = [draw(st.sampled_from(NUMBERS)) for _ in range(2)]
    document = {
        "version": 2,
        "donors": ["ja", "math"],
        "templates": [{"nodes": nodes, "output": len(nodes) - 1}],
        "sites": [{"name": "a", "shape": list(shape), "template": 0, "values": values, "gathers": []}],
        "stack": None,
    }
    return Plan.from_dict(document), shape


@settings(max_examples=300, deadline=None)
@given(plans())
def test_valid_plans_execute(made):
    plan, shape = made
    try:
        validate(plan, [Site("a", 0, 0.0, "q_proj", "attention", shape)], plan.donors, LIMITS)
    except InvalidPlan:
        return
    generator = torch.Generator().manual_seed(1)
    donors = {name: torch.randn(shape, generator=generator) * 3 for name in plan.donors}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = Executor(plan).compute_site(0, donors)
        except RecipeError as error:
            assert any(reason in str(error) for reason in NUMERIC), str(error)
            return
    assert result.dtype == torch.float32 and result.shape == shape
