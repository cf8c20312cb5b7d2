"""Validation of plans that an enemy wrote."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.errors import InvalidPlan
from evolve.plan.operations import OPERATIONS
from evolve.plan.plan import Plan
from evolve.plan.validate import PlanLimits, validate
from evolve.site import Site

DONORS = ["base", "ja"]
SITE = Site("a", 0, 0.0, "q_proj", "attention", (4, 4))


def one(*nodes, values=(), donors=("ja",), **more) -> Plan:
    """A plan of one 4 x 4 site whose output is the last node."""
    return Plan.from_dict(
        {
            "version": 2,
            "donors": list(donors),
            "templates": [{"nodes": [["donor", [], {"name": "ja"}], *nodes], "output": len(nodes)}],
            "sites": [{"name": "a", "shape": [4, 4], "template": 0, "values": list(values), "gathers": []}],
            "stack": None,
            **more,
        }
    )


def refuse(plan: Plan, text: str, limits: PlanLimits | None = None, donors=DONORS) -> None:
    with pytest.raises(InvalidPlan, match=text):
        validate(plan, [SITE], donors, limits, statistics={"ja": ("fisher", "gram")})


def test_a_good_plan_passes(document, sites):
    validate(Plan.from_dict(document), sites, DONORS)
    validate(Plan.from_dict(document), sites, {"base": 2, "ja": 2}, PlanLimits(max_nodes=6))


FISHER = {"donor": "ja", "name": "fisher", "shape": None}
NOISE = {"distribution": "uniform", "shape": None, "index": 0, "seed": 0}


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([["explode", [0], {}]], "unknown operation 'explode'"),
        ([["__class__", [0], {}]], "unknown operation"),
        ([["add", [0], {}]], "takes 2 inputs, 1 given"),
        ([["add", [0, 0, 0], {}]], "takes 2 inputs"),
        ([["cat", [], {"dim": 0}]], "at least one"),
        ([["add", [0, 0], {"alpha": 1}]], "attributes"),
        ([["sum", [0], {"dims": None}]], "attributes"),
        ([["sum", [0], {"dims": None, "keepdim": 1}]], "keepdim = 1"),
        ([["sum", [0], {"dims": [True], "keepdim": False}]], "dims"),
        ([["sum", [0], {"dims": [-1], "keepdim": False}]], "dims"),
        ([["sum", [0], {"dims": [0, 0], "keepdim": False}]], "repeated"),
        ([["sum", [0], {"dims": [5], "keepdim": False}]], "dimension 5"),
        ([["sum", [0], {"dims": None, "keepdim": False}]], r"shape \[\], not float32 of shape"),
        ([["isnan", [0], {}]], "output is a bool"),
        ([["donor", [], {"name": "base"}]], "not among the plan's donors"),
        ([["donor", [], {"name": 3}]], "not text"),
        ([["donor", [0], {"name": "ja"}]], "no inputs"),
        ([["donor", [], {"name": "ja", "path": "/etc"}]], "attributes"),
        ([["statistic", [], {"name": "fisher", "donor": "ja"}]], "attributes"),
        ([["statistic", [], {**FISHER, "shape": [-1]}]], "not a list of sizes"),
        ([["statistic", [], {**FISHER, "name": None}]], "name None is not text"),
        ([["statistic", [], {**FISHER, "donor": 3}]], "donor 3 is not text"),
        ([["statistic", [], {**FISHER, "donor": "base"}]], "'base' is not among the plan's donors"),
        ([["statistic", [], {**FISHER, "name": "hessian"}]], "'hessian' does not exist"),
        ([["statistic", [], {**FISHER, "name": "adamerging"}]], "'adamerging' of donor 'ja' is not prepared"),
        ([["statistic", [], {**FISHER, "shape": [2, 8]}]], r"shape \[4, 4\], not \[2, 8\]"),
        ([["statistic", [0], FISHER]], "a leaf has no inputs"),
        ([["total", [], {"name": "n"}], ["mul", [0, 1], {}]], "'n' is used, but no site gathers it"),
        ([["total", [], {"name": 1}]], "total's name 1 is not text"),
        ([["total", [], {}]], "attributes"),
        ([["noise", [], {**NOISE, "distribution": "cauchy"}]], "cauchy"),
        ([["noise", [], {**NOISE, "shape": [2.5]}]], "shape"),
        ([["noise", [], {**NOISE, "index": -1}]], "index"),
        ([["noise", [], {**NOISE, "seed": True}]], "seed"),
        ([["noise", [], {**NOISE, "shape": [10**9]}]], "elements"),
        ([["constant", [], {"dtype": "float32", "shape": [2], "data": [1.0]}]], "1 numbers"),
        ([["constant", [], {"dtype": "float32", "shape": [1], "data": [1]}]], "float32 constant"),
        ([["constant", [], {"dtype": "int64", "shape": [1], "data": [True]}]], "int64 constant"),
        ([["constant", [], {"dtype": "complex64", "shape": [1], "data": [1.0]}]], "dtype"),
        ([["constant", [], {"dtype": "float32", "shape": [1] * 9, "data": [1.0]}]], "dtype"),
        ([["constant", [], {"dtype": "float32", "shape": [5000], "data": [0.0] * 5000}]], "5000 elements"),
        ([["full", [0], {"shape": None, "dtype": "float32"}]], "must be a number"),
        ([["matmul", [0, 0], {}], ["reshape", [1], {"shape": [2, 9]}]], "does not|elements"),
        ([["repeat", [0], {"repeats": [4000, 4000]}]], "elements"),
        ([["expand", [0], {"shape": [10**7, 4, 4]}]], "elements"),
        ([["reshape", [0], {"shape": [1] * 9}]], "shape"),
        ([["unsqueeze", [0], {"dim": 7}]], "dimension 7"),
        ([["einsum", [0, 0], {"equation": "ij,jk->il"}]], "no input has"),
        ([["einsum", [0, 0], {"equation": "i...,jk->ik"}]], "not supported"),
        ([["einsum", [0], {"equation": "ij->" + "i" * 100}]], "equation"),
        ([["gather", [0, 0], {"dim": 0}]], "int64"),
        ([["cast", [0], {"dtype": "float64"}]], "dtype"),
        ([["svd", [0], {"full_matrices": True, "output": 3}]], "output 3"),
        ([["slice", [0], {"dim": 0, "start": 3, "stop": 2, "step": 1}]], "slice"),
        ([["slice", [0], {"dim": 0, "start": 0, "stop": 4, "step": 0}]], "slice"),
    ],
)
def test_bad_nodes(nodes, text):
    refuse(one(*nodes), text)


@pytest.mark.parametrize(
    ("k", "text"), [(0, "outside 1..4"), (5, "outside 1..4"), (2.0, "an integer"), (True, "an integer")]
)
def test_bad_counts(k, text):
    node = ["kthvalue", [0, 1], {"dim": 0, "keepdim": True, "output": 0}]
    plan = one(["value", [], {"slot": 0}], node, ["expand", [2], {"shape": None}], values=[k])
    refuse(plan, text)


def test_equal_numbers_of_other_types_are_checked_for_each_site():
    node = ["kthvalue", [0, 1], {"dim": 0, "keepdim": True, "output": 0}]
    data = one(["value", [], {"slot": 0}], node, ["expand", [2], {"shape": None}], values=[1]).to_dict()
    data["sites"].append({**data["sites"][0], "name": "b", "values": [True]})
    with pytest.raises(InvalidPlan, match="site 'b'"):
        validate(Plan.from_dict(data), [SITE, Site("b", 1, 1.0, "q_proj", "attention", (4, 4))], DONORS)


def test_values_fill_exactly_the_slots():
    refuse(one(["value", [], {"slot": 1}], ["mul", [0, 1], {}], values=[1.0, 2.0]), "slots")
    plan = one(["value", [], {"slot": 0}], ["mul", [0, 1], {}], values=[1.0])
    for values in ((), (1.0, 2.0)):
        site = plan.sites[0]._replace(values=values)
        refuse(Plan(plan.donors, plan.templates, (site,)), f"{len(values)} values")


def test_sites_must_be_the_models(document, sites):
    plan = Plan.from_dict(document)
    with pytest.raises(InvalidPlan, match="has 2 sites, the model 1"):
        validate(plan, sites[:1], DONORS)
    with pytest.raises(InvalidPlan, match="site 'a' where the model has 'b'"):
        validate(plan, sites[::-1], DONORS)
    with pytest.raises(InvalidPlan, match=r"shape \[2, 3\] in the plan, \[3, 2\]"):
        validate(plan, [Site("a", 0, 0.0, "q_proj", "attention", (3, 2)), sites[1]], DONORS)


def test_donors_must_exist_and_be_used():
    refuse(one(["neg", [0], {}]), "donor 'ja' does not exist", donors=["base"])
    refuse(one(["neg", [0], {}], donors=("base", "ja")), "lists donors")


def test_limits():
    chain = [["neg", [index], {}] for index in range(20)]
    refuse(one(*chain), "21 nodes", PlanLimits(max_nodes_per_site=20))
    refuse(one(*chain), "21 nodes", PlanLimits(max_nodes=20))
    product = [["matmul", [0, 0], {}]]
    refuse(one(*product), "elementary operations", PlanLimits(max_work_per_site=100))
    tall = one(["repeat", [0], {"repeats": [9, 1]}], ["slice", [1], {"dim": 0, "start": 0, "stop": 4, "step": 1}])
    refuse(tall, "144 elements", PlanLimits(intermediate_floor=1))
    validate(tall, [SITE], DONORS, PlanLimits(intermediate_floor=144))
    many = [["repeat", [0], {"repeats": [8, 1]}] for _ in range(10)]
    total = [["cat", list(range(1, 11)), {"dim": 0}], ["slice", [11], {"dim": 0, "start": 0, "stop": 4, "step": 1}]]
    refuse(one(*many, *total), "alive at once", PlanLimits(intermediate_floor=1, intermediate_factor=100))


def test_many_inputs_are_work_too():
    nodes = [["cat", [0] * 40, {"dim": 0}], ["slice", [1], {"dim": 0, "start": 0, "stop": 4, "step": 1}]]
    refuse(one(*nodes), "41 inputs", PlanLimits(max_nodes_per_site=10))


def test_unused_templates_are_refused(document, sites):
    document["templates"].append(document["templates"][0])
    with pytest.raises(InvalidPlan, match="belongs to no site"):
        validate(Plan.from_dict(document), sites, DONORS)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"model": "merged", "layer": 1, "scale": 1.0}, "layer 1"),
        ({"model": "merged", "layer": -1, "scale": 1.0}, "layer -1"),
        ({"model": "ja", "layer": 3, "scale": 1.0}, "layers 0..2"),
        ({"model": "base", "layer": 0, "scale": 1.0}, "not among"),
        ({"model": "merged", "layer": 0, "scale": 0}, "not zero"),
    ],
)
def test_bad_stacks(entry, text):
    plan = one(["neg", [0], {}], stack=[entry])
    refuse(plan, text, donors={"base": 1, "ja": 3})


def test_stack_sizes():
    entry = {"model": "merged", "layer": 0, "scale": 1.0}
    refuse(one(["neg", [0], {}], stack=[]), "0 layers")
    refuse(one(["neg", [0], {}], stack=[entry] * 5), "5 layers", PlanLimits(max_stack_layers=4))
    validate(one(["neg", [0], {}], stack=[entry] * 4), [SITE], DONORS, PlanLimits(max_stack_layers=4))


def check_totals(document, sites, limits: PlanLimits | None = None, **more) -> None:
    validate(Plan.from_dict(document), sites, DONORS, limits, statistics={"ja": ("fisher",)}, **more)


def test_a_good_plan_with_totals_and_statistics_passes(with_totals, sites):
    check_totals(with_totals, sites, PlanLimits(max_nodes_per_site=9, max_nodes=12, max_totals=1))


SUM = ["sum", [0], {"dims": None, "keepdim": False}]


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([], r"gather 'squares': the output is a float32 tensor of shape \[2, 3\], not float32 of shape \[\]"),
        ([["sum", [0], {"dims": [0], "keepdim": False}]], r"shape \[3\], not float32 of shape \[\]"),
        ([["sum", [0], {"dims": None, "keepdim": True}]], r"shape \[1, 1\], not float32 of shape \[\]"),
        ([["argmax", [0], {"dim": None, "keepdim": False}]], "output is a int64 tensor"),
        ([SUM, ["total", [], {"name": "squares"}], ["add", [1, 2], {}]], "totals cannot need each other"),
        ([["total", [], {"name": "squares"}], SUM], "totals cannot need each other"),
        ([["donor", [], {"name": "en"}], SUM], "'en' is not among the plan's donors"),
        ([["explode", [], {}]], "unknown operation"),
        ([["repeat", [0], {"repeats": [4000, 4000]}], ["sum", [1], SUM[2]]], "gather 'squares', node 1: repeat makes"),
        ([["statistic", [], {"donor": "ja", "name": "gram", "shape": [3, 3]}], SUM], "'gram' of donor 'ja' is not"),
    ],
)
def test_bad_gathers(with_totals, sites, nodes, text):
    nodes = [["donor", [], {"name": "base"}], *nodes]
    with_totals["templates"][2] = {"nodes": nodes, "output": len(nodes) - 1}
    for site in with_totals["sites"]:
        site["gathers"][0]["values"] = []
    with pytest.raises(InvalidPlan, match=text):
        check_totals(with_totals, sites)


def test_what_is_gathered_must_be_used_and_what_is_used_gathered(with_totals, sites):
    others = [{"name": name, "template": 2, "values": [1.0]} for name in ("squares", "unused")]
    second = with_totals["sites"][1]
    with pytest.raises(InvalidPlan, match="total 'unused' is gathered, but no output uses it"):
        check_totals({**with_totals, "sites": [{**with_totals["sites"][0], "gathers": others}, second]}, sites)
    with_totals["sites"][0]["gathers"] = []
    check_totals(with_totals, sites)  # the other site still adds to it
    with_totals["templates"][2]["nodes"][4][2]["dims"] = [0]
    check_totals(with_totals, sites)  # of one dimension
    with_totals["sites"][1]["gathers"] = []
    del with_totals["templates"][2]
    with pytest.raises(InvalidPlan, match="total 'squares' is used, but no site gathers it"):
        check_totals(with_totals, sites)


def test_statistics_must_be_prepared_and_exist_at_the_site(with_totals, sites):
    plan = Plan.from_dict(with_totals)
    for prepared in (None, {}, {"base": ("fisher",)}, {"ja": ("gram",)}):
        with pytest.raises(InvalidPlan, match="site 'b': .*'fisher' of donor 'ja' is not prepared; run `evolve donors"):
            validate(plan, sites, DONORS, statistics=prepared)
    with_totals["templates"][1]["nodes"][1][2].update(name="gram")
    with pytest.raises(InvalidPlan, match="'gram' does not exist at site 'b'"):
        validate(Plan.from_dict(with_totals), sites, DONORS, statistics={"ja": ("gram",)})


def test_a_statistic_has_the_shape_of_each_site():
    leaf = ["statistic", [], {"donor": "ja", "name": "gram", "shape": [3, 3]}]
    plan = one(leaf, ["matmul", [0, 1], {}])
    for shape, good in (((4, 3), True), ((4, 4), False)):
        site = plan.sites[0]._replace(shape=shape)
        changed = Plan(plan.donors, plan.templates, (site,))
        with contextlib.nullcontext() if good else pytest.raises(InvalidPlan, match=r"\[4, 4\], not \[3, 3\]"):
            sites = [Site("a", 0, 0.0, "q_proj", "attention", shape)]
            validate(changed, sites, DONORS, statistics={"ja": ("gram",)})


def test_the_donor_of_a_statistic_is_used(with_totals, sites):
    check_totals(with_totals, sites)
    del with_totals["templates"][1]["nodes"][1:]
    with_totals["templates"][1]["output"] = 0
    with pytest.raises(InvalidPlan, match="lists donors.*but uses"):
        check_totals(with_totals, sites)


def test_limits_of_gathers(with_totals, sites):
    with pytest.raises(InvalidPlan, match="site 'a' with what it gathers has 9 nodes, at most 8"):
        check_totals(with_totals, sites, PlanLimits(max_nodes_per_site=8))
    with pytest.raises(InvalidPlan, match="site 'a': 25 elementary operations, at most 24"):
        check_totals(with_totals, sites, PlanLimits(max_work_per_site=24))
    check_totals(with_totals, sites, PlanLimits(max_work_per_site=25))
    many = [{"name": f"n{i:02}", "template": 2, "values": [1.0]} for i in range(65)]
    with_totals["sites"][0]["gathers"] = many
    with pytest.raises(InvalidPlan, match="gathers 66 totals, at most 64"):
        check_totals(with_totals, sites)


attribute = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**50), st.text(max_size=3), st.lists(st.integers(-2, 9), max_size=4),
    st.sampled_from(["float32", "bool", "fro", "ij->i", "ij,jk->ik", "linear", "reduced", "none"]),
)  # fmt: skip


@st.composite
def random_nodes(draw):
    nodes = [["value", [], {"slot": 0}]]
    for index in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(sorted(OPERATIONS)))
        count = draw(st.integers(0, 3)) if draw(st.booleans()) else len(OPERATIONS[name].operands.rstrip("*"))
        inputs = [draw(st.integers(0, index + 1)) for _ in range(count)]
        nodes.append([name, inputs, {key: draw(attribute) for key in OPERATIONS[name].attributes}])
    return nodes


@settings(max_examples=400, deadline=None)
@given(random_nodes(), st.sampled_from([0, 1, 2.5, -1, True, 2**62]))
def test_any_graph_of_known_operations_is_judged(nodes, value):
    with contextlib.suppress(InvalidPlan):
        validate(one(*nodes, values=[value]), [SITE], DONORS)
