"""The plan: one graph of tensor operations per site and the stack of layers, as immutable data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from evolve.plan.digest import plan_digest

VERSION = 2
MERGED = "merged"

Attribute = bool | int | float | str | None | tuple[Any, ...]


class Node(NamedTuple):
    """One leaf or operation: its inputs are indices of earlier nodes, its attributes are sorted by name."""

    op: str
    inputs: tuple[int, ...]
    attributes: tuple[tuple[str, Attribute], ...]

    def to_list(self) -> list[Any]:
        attributes = {name: list(value) if isinstance(value, tuple) else value for name, value in self.attributes}
        return [self.op, list(self.inputs), attributes]


class Template(NamedTuple):
    """The graph of one site with its numbers lifted out; ``output`` is the index of the result."""

    nodes: tuple[Node, ...]
    output: int

    def leaves(self, op: str) -> list[dict[str, Any]]:
        """The attributes of the leaves of one kind."""
        return [dict(node.attributes) for node in self.nodes if node.op == op]


class Gather(NamedTuple):
    """What one site adds to the total of that name: a template whose output is float32 without dimensions, and its
    numbers.
    """

    name: str
    template: int
    values: tuple[bool | int | float, ...]


class SitePlan(NamedTuple):
    """How one parameter is made: its template (an index) and the numbers for the template's slots.

    ``gathers`` are sorted by name; a total to which the site adds nothing is not among them.
    """

    name: str
    shape: tuple[int, ...]
    template: int
    values: tuple[bool | int | float, ...]
    gathers: tuple[Gather, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        gathers = [{**gather._asdict(), "values": list(gather.values)} for gather in self.gathers]
        return {**self._asdict(), "shape": list(self.shape), "values": list(self.values), "gathers": gathers}


class StackEntry(NamedTuple):
    """One layer of the merged model: layer ``layer`` of ``model`` (``merged`` or a donor), its input times
    ``scale``.
    """

    model: str
    layer: int
    scale: float


@dataclass(frozen=True)
class Plan:
    """A traced recipe.

    ``donors`` are the sorted names of the donors it uses; ``sites`` are in the model's order; ``stack`` is None for the
    model's own layers. Construction checks nothing: plans from elsewhere go through ``from_json`` or ``from_dict``
    (types) and then ``evolve.plan.validate.validate`` (meaning).
    """

    donors: tuple[str, ...]
    templates: tuple[Template, ...]
    sites: tuple[SitePlan, ...]
    stack: tuple[StackEntry, ...] | None = None

    @cached_property
    def totals(self) -> tuple[str, ...]:
        """The sorted names of what the sites gather."""
        return tuple(sorted({gather.name for site in self.sites for gather in site.gathers}))

    @cached_property
    def digest(self) -> str:
        """Canonical sha256 (hex): blind to names, operand order of commutative operations, equal and dead nodes."""
        return plan_digest(self)

    def to_dict(self) -> dict[str, Any]:
        """The plan document as plain data."""
        return {
            "version": VERSION,
            "donors": list(self.donors),
            "templates": [
                {"nodes": [node.to_list() for node in template.nodes], "output": template.output}
                for template in self.templates
            ],
            "sites": [site.to_dict() for site in self.sites],
            "stack": None if self.stack is None else [entry._asdict() for entry in self.stack],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Reads a plan document; InvalidPlan names the first part that has a wrong type."""
        from evolve.plan.document import read_plan

        return read_plan(data)

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """Reads a plan document from JSON; InvalidPlan on anything that is not one."""
        from evolve.plan.document import parse_plan

        return parse_plan(text)
