"""What a computation is known by, so that its result can be found again."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from evolve.plan.plan import Node

DIGEST_BYTES = 16

# Operations with the same bits for swapped operands. maximum and its like are not: zeros of both signs are equal.
_COMMUTATIVE = ("add", "mul", "eq", "ne")


class Digests:
    """Identifies the results of a template's nodes: operation, attributes and operands down to the leaves.

    Donors are named, not hashed, so digests compare within one set of donors and one site only. What does not depend
    on a site's numbers is hashed once.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._heads = [repr((node.op, node.attributes, len(node.inputs))).encode() for node in nodes]
        self._varying = [False] * len(nodes)
        for index, node in enumerate(nodes):
            varying = any(self._varying[source] for source in node.inputs)
            self._varying[index] = varying or node.op in ("value", "total")
        self._known: dict[int, bytes] = {}

    def of(
        self, index: int, values: Sequence[bool | int | float], totals: Mapping[str, float], known: dict[int, bytes]
    ) -> bytes:
        """The digest of a node for a site's numbers; ``known`` collects digests that hold for these numbers only."""
        needed, pending = {index}, [index]
        while pending:
            new = [one for one in self._nodes[pending.pop()].inputs if one not in known and one not in self._known]
            pending += [one for one in new if one not in needed]
            needed.update(new)
        for one in sorted(needed):
            store = known if self._varying[one] else self._known
            if one not in store:
                store[one] = self._digest(one, values, totals, known)
        return known[index] if index in known else self._known[index]

    def _digest(
        self, index: int, values: Sequence[bool | int | float], totals: Mapping[str, float], known: dict[int, bytes]
    ) -> bytes:
        node = self._nodes[index]
        if node.op == "value":
            slot: Any = node.attributes[0][1]
            body = b"value" + _number(values[slot])
        elif node.op == "total":
            name: Any = node.attributes[0][1]
            body = b"total" + _number(totals[name])
        else:
            operands = [known[source] if source in known else self._known[source] for source in node.inputs]
            if node.op in _COMMUTATIVE:
                operands.sort()
            body = self._heads[index] + b"".join(operands)
        return blake2b(body, digest_size=DIGEST_BYTES).digest()


def _number(value: bool | int | float) -> bytes:
    return b"f" + struct.pack(">d", value) if isinstance(value, float) else repr(value).encode()
