"""Fits the graph of one site to a pattern: which donors and which numbers make the pattern that graph."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from evolve.plan.operations import OPERATIONS
from evolve.plan.plan import Node, Template

Number = bool | int | float


@dataclass(frozen=True)
class Graph:
    """A template with the numbers of a site; ``skeletons`` tell apart what no donors and numbers could make equal."""

    template: Template
    values: Sequence[Number]
    skeletons: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        found: list[bytes] = []
        for index, node in enumerate(self.template.nodes):
            found.append(self._skeleton(index, node, found))
        object.__setattr__(self, "skeletons", tuple(found))

    @property
    def root(self) -> bytes:
        return self.skeletons[self.template.output]

    def is_number(self, index: int) -> bool:
        return self.template.nodes[index].op == "value"

    def slot(self, index: int) -> int:
        slot: Any = self.template.nodes[index].attributes[0][1]
        return int(slot)

    def scaled(self, index: int) -> tuple[int, int] | None:
        """The tensor and the number of a product or quotient with a number."""
        node = self.template.nodes[index]
        if node.op == "mul" and any(map(self.is_number, node.inputs)):
            left, right = node.inputs
            return (right, left) if self.is_number(left) else (left, right)
        if node.op == "div" and self.is_number(node.inputs[1]):
            return node.inputs[0], node.inputs[1]
        return None

    def _skeleton(self, index: int, node: Node, found: Sequence[bytes]) -> bytes:
        if node.op in ("donor", "value"):
            return node.op.encode()
        if (pair := self.scaled(index)) is not None:
            return found[pair[0]]  # tracing leaves out a factor of 1
        inputs = [found[source] for source in node.inputs]
        if OPERATIONS[node.op].commutative if node.op in OPERATIONS else False:
            inputs.sort()
        return sha256(json.dumps([node.op, node.attributes]).encode() + b"".join(inputs)).digest()


class Fit:
    """What makes ``pattern`` the graph ``target``: the target's donors by the pattern's names, ``numbers`` by slot.

    Only the slots of ``free`` may take other numbers than they have. Found by ``search``.
    """

    def __init__(self, pattern: Graph, target: Graph, free: Collection[int], donors: dict[str, str]) -> None:
        self._pattern = pattern
        self._target = target
        self._free = free
        self.donors = dict(donors)
        self.numbers: dict[int, Number] = {}
        self._paired: set[tuple[int, int]] = set()

    def search(self) -> bool:
        """Whether there is a fit; ``donors`` given before are kept."""
        return self._same(self._pattern.template.output, self._target.template.output)

    def _same(self, left: int, right: int) -> bool:
        if (left, right) in self._paired:
            return True
        if self._pattern.skeletons[left] != self._target.skeletons[right]:
            return False
        before = (dict(self.donors), dict(self.numbers), set(self._paired))
        if self._same_node(left, right):
            self._paired.add((left, right))
            return True
        self.donors, self.numbers, self._paired = before
        return self._left_out(left, right)

    def _same_node(self, left: int, right: int) -> bool:
        one, other = self._pattern.template.nodes[left], self._target.template.nodes[right]
        if one.op != other.op:
            return False
        if one.op == "donor":
            return self._same_donor(str(one.attributes[0][1]), str(other.attributes[0][1]))
        if one.op == "value":
            return self._same_number(self._pattern.slot(left), self._target.values[self._target.slot(right)])
        if one.attributes != other.attributes or len(one.inputs) != len(other.inputs):
            return False
        orders = [other.inputs]
        if one.op in OPERATIONS and OPERATIONS[one.op].commutative:
            orders.append(tuple(reversed(other.inputs)))
        for order in orders:
            before = (dict(self.donors), dict(self.numbers), set(self._paired))
            if all(self._same(*pair) for pair in zip(one.inputs, order, strict=True)):
                return True
            self.donors, self.numbers, self._paired = before
        return False

    def _same_donor(self, name: str, other: str) -> bool:
        if name in self.donors:
            return self.donors[name] == other
        if other in self.donors.values():
            return False
        self.donors[name] = other
        return True

    def _same_number(self, slot: int, number: Number) -> bool:
        if slot not in self._free:
            return repr(self._pattern.values[slot]) == repr(number)
        known = self.numbers.setdefault(slot, number)
        return repr(known) == repr(number)

    def _left_out(self, left: int, right: int) -> bool:
        """The pattern's factor may be 1, so that the target has none."""
        pair = self._pattern.scaled(left)
        if pair is None:
            return False
        before = (dict(self.donors), dict(self.numbers), set(self._paired))
        if self._same_number(self._pattern.slot(pair[1]), 1.0) and self._same(pair[0], right):
            return True
        self.donors, self.numbers, self._paired = before
        return False
