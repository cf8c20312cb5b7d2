"""The canonical digest."""

from __future__ import annotations

import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.plan.plan import Node, Plan, SitePlan, Template

NAMES = ("base", "ja", "math")


def leaf(name: str) -> tuple:
    return ("donor", name)


trees = st.recursive(
    st.sampled_from(NAMES).map(leaf) | st.sampled_from([0.5, 0.25, -1.0, 2]).map(lambda number: ("value", number)),
    lambda inner: (
        st.tuples(st.sampled_from(["add", "mul", "sub", "maximum"]), inner, inner)
        | st.tuples(st.sampled_from(["neg", "abs"]), inner)
    ),
    max_leaves=8,
)


def build(tree, *, swap: bool, share: bool, dead: bool, shape=(2, 2)) -> Plan:
    """One site's plan of an expression tree, written in one of several equivalent ways."""
    nodes: list[Node] = []
    values: list[float] = []
    known: dict = {}

    def visit(node) -> int:
        if share and node in known:
            return known[node]
        if node[0] == "donor":
            made = Node("donor", (), (("name", node[1]),))
        elif node[0] == "value":
            values.append(node[1])
            made = Node("value", (), (("slot", len(values) - 1),))
        else:
            children = node[1:]
            if swap and node[0] in ("add", "mul", "maximum"):
                places = [visit(child) for child in reversed(children)][::-1]
                places = places[::-1]
            else:
                places = [visit(child) for child in children]
            if dead:
                nodes.append(Node("neg", (places[0],), ()))
            made = Node(node[0], tuple(places), ())
        nodes.append(made)
        known[node] = len(nodes) - 1
        return len(nodes) - 1

    output = visit(tree)
    return Plan(NAMES, (Template(tuple(nodes), output),), (SitePlan("s", shape, 0, tuple(values)),))


def canonical(tree):
    """What the digest may tell apart."""
    if tree[0] in ("donor", "value"):
        return (tree[0], repr(tree[1]))
    children = [canonical(child) for child in tree[1:]]
    return (tree[0], *(sorted(children, key=repr) if tree[0] in ("add", "mul", "maximum") else children))


@settings(max_examples=150, deadline=None)
@given(trees, trees)
def test_digests_are_equal_exactly_when_the_computations_are(one, other):
    plain = build(one, swap=False, share=False, dead=False).digest
    assert build(one, swap=True, share=True, dead=True).digest == plain
    assert (build(other, swap=False, share=True, dead=False).digest == plain) == (canonical(one) == canonical(other))


def test_a_null_shape_is_the_sites_own():
    def plan(shape) -> Plan:
        value = Node("value", (), (("slot", 0),))
        full = Node("full", (0,), (("dtype", "float32"), ("shape", shape)))
        return Plan((), (Template((value, full), 1),), (SitePlan("s", (2, 3), 0, (1.0,)),))

    assert plan(None).digest == plan((2, 3)).digest != plan((3, 2)).digest


def test_everything_that_matters_is_in_the_digest(document):
    digests = {Plan.from_dict(document).digest}
    changes = [
        lambda d: d["sites"][0].update(name="c"),
        lambda d: d["sites"][0].update(shape=[3, 2]),
        lambda d: d["sites"][0].update(values=[1]),
        lambda d: d["sites"][0].update(values=[True]),
        lambda d: d["sites"].reverse(),
        lambda d: d.update(stack=[{"model": "merged", "layer": 0, "scale": 1.0}]),
        lambda d: d["stack"][0].update(scale=0.5),
        lambda d: d["stack"][0].update(layer=1),
        lambda d: d["stack"][0].update(model="ja"),
        lambda d: d["templates"][0]["nodes"][2].__setitem__(1, [0, 1]),
        lambda d: d["templates"][0].update(output=4),
        lambda d: d["templates"][0]["nodes"][1][2].update(name="base"),
    ]
    for change in changes:
        change(document)
        digests.add(Plan.from_dict(document).digest)
    assert len(digests) == len(changes) + 1


def test_totals_are_what_is_gathered_whatever_their_name(with_totals):
    plan = Plan.from_dict(with_totals)
    renamed = json.loads(json.dumps(with_totals).replace("squares", "lengths"))
    assert Plan.from_dict(renamed).digest == plan.digest
    changed = copy.deepcopy(with_totals)
    changed["sites"][1]["gathers"] = []
    moved = copy.deepcopy(with_totals)
    moved["sites"][0]["gathers"] = []
    number = copy.deepcopy(with_totals)
    number["sites"][1]["gathers"][0]["values"] = [0.25]
    operation = copy.deepcopy(with_totals)
    operation["templates"][2]["nodes"][3][0] = "abs"
    digests = {Plan.from_dict(document).digest for document in (with_totals, changed, moved, number, operation)}
    assert len(digests) == 5


def test_a_total_that_no_output_needs_does_not_count(with_totals):
    plain = copy.deepcopy(with_totals)
    plain["templates"][0]["output"] = 0
    gathering = Plan.from_dict(plain).digest
    for site in plain["sites"]:
        site["gathers"] = []
    assert Plan.from_dict(plain).digest == gathering != Plan.from_dict(with_totals).digest


def test_two_totals_are_told_apart(with_totals):
    def digest(first: str, second: str) -> str:
        document = copy.deepcopy(with_totals)
        document["sites"][0]["gathers"] = [
            {"name": "x", "template": 2, "values": [1.0]},
            {"name": "y", "template": 2, "values": [2.0]},
        ]
        leaf = document["templates"][0]["nodes"]
        leaf[1:3] = [["total", [], {"name": first}], ["total", [], {"name": second}], ["div", [1, 2], {}]]
        leaf[4][1] = [0, 3]
        document["templates"][0]["output"] = 4
        document["sites"][1]["gathers"] = []
        return Plan.from_dict(document).digest

    assert len({digest("x", "y"), digest("y", "x"), digest("x", "x"), digest("y", "y")}) == 4


def test_everything_in_a_statistic_counts(with_totals):
    digests = {Plan.from_dict(with_totals).digest}
    for change in ({"name": "gram"}, {"donor": "base"}, {"shape": [3]}):
        changed = copy.deepcopy(with_totals)
        changed["templates"][1]["nodes"][1][2].update(change)
        digests.add(Plan.from_dict(changed).digest)
    assert len(digests) == 4
    own = copy.deepcopy(with_totals)
    own["templates"][1]["nodes"][1][2]["shape"] = [4]
    assert Plan.from_dict(own).digest == Plan.from_dict(with_totals).digest
