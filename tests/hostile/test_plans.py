"""Plans as an enemy would write them: each is refused before anything of it is executed, in no time."""

from __future__ import annotations

import copy
import json
import time

import pytest

from evolve.errors import InvalidPlan
from evolve.plan.plan import Plan
from evolve.plan.validate import validate
from evolve.site import Site

SITES = [
    Site("model.layers.0.mlp.up_proj.weight", 0, 0.0, "up_proj", "mlp", (64, 32)),
    Site("model.norm.weight", None, 0.0, "final_norm", "norm", (32,)),
]
DONORS = {"base": 1, "ja": 1}
STATISTICS = {"ja": ("fisher",)}
BIG, HUGE = 2**24, 2**40


def document():
    """A plan that may be executed: each site is the mean of two donors, scaled by a number of its own."""
    nodes = [
        ["donor", [], {"name": "base"}],
        ["donor", [], {"name": "ja"}],
        ["add", [0, 1], {}],
        ["value", [], {"slot": 0}],
        ["mul", [2, 3], {}],
    ]
    sites = [
        {"name": site.name, "shape": list(site.shape), "template": 0, "values": [0.5], "gathers": []} for site in SITES
    ]
    template = {"nodes": nodes, "output": 4}
    return {"version": 2, "donors": ["base", "ja"], "templates": [template], "sites": sites, "stack": None}


def then(*nodes):
    """The nodes after those of the document, whose last is the output; indices count from the document's result, 4."""

    def change(plan):
        plan["templates"][0]["nodes"] += copy.deepcopy(list(nodes))
        plan["templates"][0]["output"] = 4 + len(nodes)

    return change


def put(value, *path):
    """Replaces what stands at a place of the document."""

    def change(plan):
        for step in path[:-1]:
            plan = plan[step]
        plan[path[-1]] = value

    return change


NODES = ("templates", 0, "nodes")
SUM = {"dims": None, "keepdim": False}
MANY = 20_000
HOSTILE = {
    # names of files, of Python objects and of operations that nobody offers
    "operation of the shell": then(["os.system", [4], {"command": "touch /tmp/evolve-hostile-plan"}]),
    "evaluation of text": then(["eval", [4], {"text": "1"}]),
    "attribute of an object": then(["__class__", [4], {}]),
    "method of torch": then(["torch.load", [4], {}]),
    "import": then(["__import__", [4], {"name": "os"}]),
    "reduction of a pickle": then(["__reduce__", [4], {}]),
    "operation with a path": then(["../../etc/passwd", [4], {}]),
    "operation without a name": then(["", [4], {}]),
    "operation with control characters": then(["add\x1b[31m", [4, 4], {}]),
    "donor that is a path": put({"name": "/etc/passwd"}, *NODES, 0, 2),
    "donor that is a path above": put({"name": "../ja"}, *NODES, 0, 2),
    "donor with a path beside its name": put({"name": "base", "path": "/etc/passwd"}, *NODES, 0, 2),
    "donor that is listed as a path": put(["/etc/passwd", "base", "ja"], "donors"),
    "donor that is the merged model": put(["base", "ja", "merged"], "donors"),
    "donor that is listed twice": put(["base", "ja", "ja"], "donors"),
    "donor that is an object": put([{"__class__": "x"}], "donors"),
    "statistic that is a path": then(["statistic", [], {"donor": "ja", "name": "../../etc/passwd", "shape": None}]),
    "statistic of another donor": then(["statistic", [], {"donor": "base", "name": "fisher", "shape": None}]),
    "site that is a path": put("../../etc/passwd", "sites", 0, "name"),
    "site that is another's": put(SITES[1].name, "sites", 0, "name"),
    "stack of a path": put([{"model": "/etc/passwd", "layer": 0, "scale": 1.0}], "stack"),
    "attribute that is an object": then(["sum", [4], {"dims": {"__class__": "x"}, "keepdim": False}]),
    "attribute nobody asked for": then(["add", [4, 4], {"out": 0}]),
    "attribute that is a long text": then(["einsum", [4], {"equation": "i" * 10**6}]),
    "equation with code": then(["einsum", [4], {"equation": "ij->{__import__('os')}"}]),
    # too much of anything
    "nodes without end": then(*(["add", [4, 4], {}] for _ in range(MANY))),
    "inputs without end": then(["cat", [4] * MANY, {"dim": 0}]),
    "templates without end": lambda plan: plan["templates"].extend(
        [{"nodes": [["donor", [], {"name": "ja"}]], "output": 0}] * MANY
    ),
    "sites without end": lambda plan: plan["sites"].extend([dict(plan["sites"][0]) for _ in range(MANY)]),
    "totals without end": lambda plan: plan["sites"][0].update(
        gathers=[{"name": f"n{number:06}", "template": 0, "values": [1.0]} for number in range(MANY)]
    ),
    "donors without end": put([f"d{number:06}" for number in range(MANY)], "donors"),
    "attributes without end": then(["noise", [], {f"a{number}": 0 for number in range(MANY)}]),
    "layers without end": put([{"model": "merged", "layer": 0, "scale": 1.0}] * MANY, "stack"),
    "no layers": put([], "stack"),
    "large constant": then(["constant", [], {"dtype": "float32", "shape": [MANY], "data": [0.5] * MANY}]),
    "slot without a number": put({"slot": 10**12}, *NODES, 3, 2),
    "large intermediate": then(["flatten", [4], {}], ["expand", [5], {"shape": [HUGE, 2048]}], ["sum", [6], SUM]),
    "repeated without end": then(["repeat", [4], {"repeats": [HUGE, HUGE]}]),
    "outer product": then(
        ["flatten", [4], {}], ["repeat", [5], {"repeats": [4096]}], ["einsum", [6, 6], {"equation": "i,j->ij"}]
    ),
    "large identity": then(["eye", [], {"rows": HUGE, "columns": HUGE, "dtype": "float32"}]),
    "large noise": then(["noise", [], {"distribution": "normal", "shape": [HUGE], "index": 0, "seed": 0}]),
    "many intermediates alive at once": then(
        *(["repeat", [4], {"repeats": [4096, 1]}] for _ in range(200)), ["cat", list(range(5, 205)), {"dim": 0}]
    ),
    "work of years": then(
        ["repeat", [4], {"repeats": [32, 64]}],
        *([["matmul", [number, number], {}] for number in range(5, 4000)]),
    ),
    "decompositions of years": then(
        ["repeat", [4], {"repeats": [64, 128]}],
        *(["svd", [5], {"full_matrices": True, "output": 1}] for _ in range(2000)),
    ),
    "window of everything": then(
        ["flatten", [4], {}],
        ["unfold", [5], {"dim": 0, "size": 1024, "step": 1}],
        ["unfold", [6], {"dim": 0, "size": 1000, "step": 1}],
    ),
    # what is not what it says
    "cycle": put([4, 1], *NODES, 2, 1),
    "input from the future": put([0, 4], *NODES, 2, 1),
    "negative input": put([-1, 0], *NODES, 2, 1),
    "input that is a bool": put([True, 0], *NODES, 2, 1),
    "output from nowhere": put(99, "templates", 0, "output"),
    "other output": put(3, "templates", 0, "output"),
    "infinite number": put([float("inf")], "sites", 0, "values"),
    "number that is none": put([float("nan")], "sites", 0, "values"),
    "number of a thousand digits": put([10**1000], "sites", 0, "values"),
    "number that is a text": put(["0.5"], "sites", 0, "values"),
    "too many numbers": put([0.5] * MANY, "sites", 0, "values"),
    "other shape": put([2**62, 2**62], "sites", 0, "shape"),
    "negative shape": put([-64, -32], "sites", 0, "shape"),
    "template from nowhere": put(7, "sites", 0, "template"),
    "missing site": lambda plan: plan["sites"].pop(),
    "other version": put(99, "version"),
    "more than a plan": put("rm -rf", "command"),
    "integers as floats": then(["cast", [4], {"dtype": "float64"}]),
    "index out of the tensor": then(["select", [4], {"dim": 0, "index": 64}]),
    "layer that is not there": put([{"model": "merged", "layer": 10**9, "scale": 1.0}], "stack"),
    "layer times infinity": put([{"model": "merged", "layer": 0, "scale": float("inf")}], "stack"),
    "total that needs itself": lambda plan: (
        then(["total", [], {"name": "n"}], ["mul", [4, 5], {}])(plan),
        plan["sites"][0].update(gathers=[{"name": "n", "template": 0, "values": [1.0]}]),
    ),
}


def test_the_plan_without_a_change_is_executed():
    validate(Plan.from_dict(document()), SITES, DONORS, statistics=STATISTICS)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_plans_are_refused_at_once_and_in_few_words(name):
    plan = document()
    HOSTILE[name](plan)
    began = time.process_time()
    with pytest.raises(InvalidPlan) as caught:
        validate(Plan.from_dict(plan), SITES, DONORS, statistics=STATISTICS)
    assert time.process_time() - began < 3
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 1000


TEXTS = {
    "lists within lists": "[" * 200_000,
    "objects within objects": '{"a":' * 100_000,
    "a key twice": '{"version":2,"version":2}',
    "no number": '{"version":NaN}',
    "infinity": '{"version":Infinity}',
    "half a document": json.dumps(document())[:-40],
    "a pickle": "cos\nsystem\n(S'true'\ntR.",
    "nothing": "",
    "a list": "[]",
    "a number of a million digits": '{"version":' + "9" * 10**6 + "}",
    "half a character": '{"version":2,"donors":["\\ud800"],"templates":[],"sites":[],"stack":null}',
    "too long": " " * (33 * 2**20),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_hold_no_plan_are_refused(name):
    began = time.process_time()
    with pytest.raises(InvalidPlan) as caught:
        Plan.from_json(TEXTS[name])
    assert time.process_time() - began < 3
    assert len(str(caught.value)) <= 1000
