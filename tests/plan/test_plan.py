"""Reading and writing plan documents."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.errors import InvalidPlan
from evolve.plan.plan import Gather, Node, Plan, SitePlan, Template
from evolve.plan.validate import validate
from evolve.site import Site

WHERE = [
    ("templates", 0, "nodes", 2),
    ("templates", 0, "nodes", 3, 2),
    ("templates", 0),
    ("sites", 0),
    ("sites",),
    ("stack",),
]
WHERE += [(name,) for name in ("version", "donors", "templates")] + [("sites", 0, "values"), ("sites", 0, "shape"), ()]
WHERE += [("templates", 0, "nodes", 2, part) for part in range(3)] + [
    ("templates", 0, "output"),
    ("sites", 0, "template"),
]

MODEL = [Site("a", 0, 0.0, "q_proj", "attention", (2, 3)), Site("b", 1, 1.0, "input_norm", "norm", (4,))]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["ja", "add"]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "slot", "shape", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def test_round_trip(document):
    plan = Plan.from_dict(document)
    assert plan.to_dict() == document
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(plan.to_json().encode()).digest == plan.digest
    document["stack"] = [{"model": "merged", "layer": 0, "scale": 1.0}, {"model": "ja", "layer": 1, "scale": -0.5}]
    assert Plan.from_dict(document).to_dict() == document


def test_round_trip_with_totals(with_totals):
    plan = Plan.from_dict(with_totals)
    assert plan.to_dict() == with_totals
    assert plan.totals == ("squares",)
    assert plan.sites[1].gathers == (Gather("squares", 2, (0.5,)),)
    assert Plan.from_json(plan.to_json()) == plan


def test_plans_are_read_without_torch():
    code = "import sys; import evolve.plan.validate, evolve.plan.statistics, evolve.plan.noise, evolve.recipe; "
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    "text",
    [
        "", "nul", "null", "[]", "3", '"x"', "{}", '{"version": 2}', "[" * 100_000, '{"a":' * 100_000, "1e999", "NaN",
        '{"version": NaN}', '{"version": 2, "version": 2}', "9" * 5000, "\ud800", b"\xff\xfe", b"", "-Infinity",
    ],
)  # fmt: skip
def test_hostile_texts_are_invalid_plans(text):
    with pytest.raises(InvalidPlan):
        Plan.from_json(text)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("version",), 3, "plan version 3 is none of 1, 2"),
        (("version",), True, "version"),
        (("donors",), ["ja", "base"], "sorted"),
        (("donors",), ["base", "base"], "sorted"),
        (("donors",), ["base", "merged"], "merged"),
        (("donors",), ["base", "a\nb"], "printable"),
        (("sites", 0, "template"), 1, "template 1 of 1"),
        (("sites", 0, "template"), True, "integer"),
        (("sites", 0, "shape"), [2, -3], "sizes"),
        (("sites", 0, "values"), [], "0 values for 1 slots"),
        (("sites", 0, "values"), [float("nan")], "finite"),
        (("sites", 0, "values"), [2**63], "64 bits"),
        (("sites", 0, "values"), ["1"], "finite number"),
        (("sites", 0, "gathers"), None, "gathers must be a list"),
        (("sites", 0, "gathers"), [{"name": "n", "template": 0}], "must be an object with name, template, values"),
        (("sites", 0, "gathers"), [{"name": "n", "template": 1, "values": [0.5]}], "gather 'n': template 1 of 1"),
        (("sites", 0, "gathers"), [{"name": "n", "template": 0, "values": []}], "gather 'n': 0 values for 1 slots"),
        (("sites", 0, "gathers"), [{"name": "n", "template": 0, "values": [float("inf")]}], "finite"),
        (("sites", 0, "gathers"), [{"name": "", "template": 0, "values": [1]}], "printable"),
        (("sites", 0, "gathers"), [{"name": "n", "template": 0, "values": [1]}] * 2, "sorted and distinct"),
        (("templates", 0, "output"), 6, "none of 6"),
        (("templates", 0, "nodes", 2), ["sub", [2, 0], {}], "earlier"),
        (("templates", 0, "nodes", 2), ["sub", [-1, 0], {}], "earlier"),
        (("templates", 0, "nodes", 2), ["sub", [True, 0], {}], "integer"),
        (("templates", 0, "nodes", 3), ["value", [], {}], "slot"),
        (("stack",), [{"model": "ja", "layer": 0}], "must be an object"),
        (("stack",), [{"model": "ja", "layer": 0, "scale": float("inf")}], "finite"),
    ],
)
def test_wrong_parts_are_named(document, path, value, text):
    with pytest.raises(InvalidPlan, match=text):
        Plan.from_dict(put(document, path, value))


def put(document, path, value):
    if not path:
        return value
    document = copy.deepcopy(document)
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return document


def judge(document) -> None:
    """Reads, hashes and validates a document; raises InvalidPlan with a short message, and nothing else."""
    try:
        plan = Plan.from_json(json.dumps(document))
        assert len(plan.digest) == 64
        validate(plan, MODEL[: max(len(plan.sites), 1)], ["base", "ja"], statistics={"ja": ("fisher",)})
    except InvalidPlan as error:
        assert len(str(error)) < 2000


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(WHERE), value=values)
def test_a_changed_document_is_read_or_refused_and_nothing_else(documents, path, value):
    judge(put({**documents["plain"], "sites": documents["plain"]["sites"][:1]}, path, value))


def places(part, path=()):
    """The paths of all parts of a document."""
    yield path
    keys = part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
    for key in keys:
        yield from places(part[key], (*path, key))


@settings(max_examples=500, deadline=None)
@given(data=st.data(), value=values | st.sampled_from(["squares", "gram", "fisher", "b", "total", "statistic"]))
def test_a_changed_document_with_totals_is_read_or_refused_and_nothing_else(documents, data, value):
    judge(put(documents["totals"], data.draw(st.sampled_from(list(places(documents["totals"])))), value))


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
shapes = st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple)
leaves = st.one_of(
    names.map(lambda name: Node("total", (), (("name", name),))),
    st.tuples(names, names, shapes).map(
        lambda t: Node("statistic", (), (("donor", t[0]), ("name", t[1]), ("shape", t[2])))
    ),
    st.just(Node("value", (), (("slot", 0),))),
)


@st.composite
def plans(draw) -> Plan:
    """Plans of any meaning whose parts have the right types."""
    templates = draw(st.lists(leaves.map(lambda leaf: Template((leaf,), 0)), min_size=1, max_size=3))

    def numbers(index: int) -> tuple:
        return (draw(finite),) if templates[index].leaves("value") else ()

    sites = []
    for name in draw(st.lists(names, max_size=3)):
        gathers = []
        for gathered in sorted(draw(st.sets(names, max_size=3))):
            index = draw(st.integers(0, len(templates) - 1))
            gathers.append(Gather(gathered, index, numbers(index)))
        index = draw(st.integers(0, len(templates) - 1))
        sites.append(SitePlan(name, (2, 3), index, numbers(index), tuple(gathers)))
    return Plan(tuple(sorted(draw(st.sets(names.filter("merged".__ne__), max_size=2)))), tuple(templates), tuple(sites))


@settings(max_examples=150, deadline=None)
@given(plans())
def test_plans_with_gathers_and_statistics_round_trip(plan):
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.digest == plan.digest
    assert again.totals == tuple(sorted({gather.name for site in plan.sites for gather in site.gathers}))


def test_version_1_is_version_2_without_gathers(document):
    old = copy.deepcopy(document)
    old["version"] = 1
    with pytest.raises(InvalidPlan, match="must be an object with name, shape, template, values, not"):
        Plan.from_dict(old)
    for site in old["sites"]:
        del site["gathers"]
    assert Plan.from_dict(old) == Plan.from_dict(document)
    old["version"] = 2
    with pytest.raises(InvalidPlan, match="gathers"):
        Plan.from_dict(old)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40) | values.map(json.dumps))
def test_any_text_is_a_plan_or_invalid(text):
    with pytest.raises(InvalidPlan):
        Plan.from_json(text)
