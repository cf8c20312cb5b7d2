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
from evolve.plan.plan import Plan
from evolve.plan.validate import validate

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


def test_plans_are_read_without_torch():
    code = "import sys; import evolve.plan.validate, evolve.plan.plan, evolve.plan.noise, evolve.recipe; "
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    "text",
    [
        "", "nul", "null", "[]", "3", '"x"', "{}", '{"version": 1}', "[" * 100_000, '{"a":' * 100_000, "1e999", "NaN",
        '{"version": NaN}', '{"version": 1, "version": 1}', "9" * 5000, "\ud800", b"\xff\xfe", b"", "-Infinity",
    ],
)  # fmt: skip
def test_hostile_texts_are_invalid_plans(text):
    with pytest.raises(InvalidPlan):
        Plan.from_json(text)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("version",), 2, "version"),
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


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(WHERE), value=values)
def test_a_changed_document_is_read_or_refused_and_nothing_else(path, value):
    from evolve.site import Site

    document = {
        "version": 1,
        "donors": ["base", "ja"],
        "templates": [
            {
                "nodes": [
                    ["donor", [], {"name": "base"}],
                    ["donor", [], {"name": "ja"}],
                    ["sub", [1, 0], {}],
                    ["value", [], {"slot": 0}],
                    ["mul", [2, 3], {}],
                    ["add", [0, 4], {}],
                ],
                "output": 5,
            }
        ],
        "sites": [{"name": "a", "shape": [2, 3], "template": 0, "values": [0.5]}],
        "stack": None,
    }
    try:
        plan = Plan.from_json(json.dumps(put(document, path, value)))
        assert len(plan.digest) == 64
        validate(plan, [Site("a", 0, 0.0, "q_proj", "attention", (2, 3))], ["base", "ja"])
    except InvalidPlan as error:
        assert len(str(error)) < 2000


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40) | values.map(json.dumps))
def test_any_text_is_a_plan_or_invalid(text):
    with pytest.raises(InvalidPlan):
        Plan.from_json(text)
