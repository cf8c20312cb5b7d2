"""The canonical digest of a plan: a Merkle hash of each site's graph."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from evolve.plan.operations import OPERATIONS

if TYPE_CHECKING:
    from evolve.plan.plan import Gather, Node, Plan, SitePlan, Template

VALUE_TAG = b"value"
TOTAL_TAG = b"total"


def plan_digest(plan: Plan) -> str:
    """sha256 over the sites' graph digests, names and shapes, the donors and the stack; see ``Plan.digest``.

    A total counts as what its sites gather, whatever its name; what no output needs does not count.
    """
    graphs = _Graphs(plan.templates, _totals(plan))
    whole = sha256(b"evolve plan 1")
    for site in plan.sites:
        whole.update(json.dumps([site.name, site.shape]).encode())
        whole.update(graphs.digest(site, site.shape))
    stack = (
        None if plan.stack is None else [[entry.model, entry.layer, float(entry.scale).hex()] for entry in plan.stack]
    )
    whole.update(json.dumps([sorted(plan.donors), stack]).encode())
    return whole.hexdigest()


def _totals(plan: Plan) -> dict[str, bytes]:
    """The digest of each total: over the positions of the sites that add to it and the graphs of what they add."""
    graphs = _Graphs(plan.templates, {})
    totals = {name: sha256(b"total") for name in plan.totals}
    for position, site in enumerate(plan.sites):
        for gather in site.gathers:
            totals[gather.name].update(struct.pack(">q", position) + graphs.digest(gather, site.shape))
    return {name: total.hexdigest().encode() for name, total in totals.items()}


class _Graphs:
    """Digests of what templates make of a site's numbers; each template is prepared once, each graph hashed once."""

    def __init__(self, templates: Sequence[Template], totals: Mapping[str, bytes]) -> None:
        self._templates = templates
        self._totals = totals
        self._prepared: dict[int, _Prepared] = {}
        self._known: dict[tuple[int, tuple[int, ...], tuple[bytes, ...]], bytes] = {}

    def digest(self, part: SitePlan | Gather, shape: tuple[int, ...]) -> bytes:
        values = tuple(map(_encode_value, part.values))
        key = (part.template, shape, values)
        graph = self._known.get(key)
        if graph is None:
            if part.template not in self._prepared:
                self._prepared[part.template] = _Prepared(self._templates[part.template], self._totals)
            graph = self._known[key] = self._prepared[part.template].digest(shape, values)
        return graph


def _encode_value(value: bool | int | float) -> bytes:
    if isinstance(value, float):
        return b"f" + struct.pack(">d", value)
    return (b"b%d" if isinstance(value, bool) else b"i%d") % value


class _Prepared:
    """A template's reachable nodes with the bytes that do not depend on a site's numbers computed once."""

    def __init__(self, template: Template, totals: Mapping[str, bytes]) -> None:
        self.output = template.output
        reachable = {template.output}
        for index in range(template.output, -1, -1):
            if index in reachable:
                reachable.update(template.nodes[index].inputs)
        self.steps = [(index, *_prepare(template.nodes[index], totals)) for index in sorted(reachable)]

    def digest(self, shape: tuple[int, ...], values: tuple[bytes, ...]) -> bytes:
        """The digest of the output node for a site of that shape with those encoded values."""
        digests: dict[int, bytes] = {}
        own_shape = json.dumps(shape).encode()
        for index, head, inputs, commutative, slot in self.steps:
            if slot is not None:
                body = VALUE_TAG + values[slot]
            else:
                parts = [digests[source] for source in inputs]
                if commutative:
                    parts.sort()
                body = head.replace(_OWN_SHAPE, own_shape) + b"".join(parts)
            digests[index] = sha256(body).digest()
        return digests[self.output]


# Stands for the site's own shape until it is known; a null byte cannot occur in JSON text.
_OWN_SHAPE = b"\0"


def _prepare(node: Node, totals: Mapping[str, bytes]) -> tuple[bytes, tuple[int, ...], bool, int | None]:
    if node.op == "value":
        slot = dict(node.attributes)["slot"]
        assert isinstance(slot, int)
        return b"", (), False, slot
    if node.op == "total":
        return TOTAL_TAG + totals.get(str(dict(node.attributes).get("name")), b""), (), False, None
    # An explicit shape equal to the site's own and a null shape mean the same and hash the same.
    attributes = [(name, "\0" if name == "shape" and value is None else value) for name, value in node.attributes]
    head = json.dumps([node.op, attributes, len(node.inputs)]).encode().replace(b'"\\u0000"', _OWN_SHAPE)
    known = OPERATIONS.get(node.op)
    return head, node.inputs, known is not None and known.commutative, None
