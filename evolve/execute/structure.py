"""Which nodes of a site's graph can be computed a few rows at a time, and which need whole tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.plan.operations import LEAVES, OPERATIONS, infer
from evolve.plan.plan import Node, SitePlan, Template
from evolve.plan.specs import Operand, Spec
from evolve.plan.validate import site_attributes

ALIASES = ("flatten", "reshape", "contiguous", "clone")
"""Operations that keep the elements in order, so that what takes all of them may look through."""

MASK_COLUMNS = 16
"""Rows of kept masks are a multiple of this many elements, so that loops read them by whole vectors."""

_COSTLY = ("sort", "topk", "median_dim", "kthvalue", "quantile")
_SAME = ("contiguous", "clone")
# Operations along one dimension, in which every row stands for itself when that dimension is not the rows'.
_ALONG = ("sort", "topk", "softmax", "log_softmax", "cumsum", "cumprod", "cummax", "cummin", "argmax", "argmin",
          "max_dim", "min_dim", "median_dim", "kthvalue", "quantile", "prod", "gather", "scatter")  # fmt: skip
_OVER = ("sum", "nansum", "mean", "nanmean", "var", "std", "amax", "amin", "all", "any", "count_nonzero", "vector_norm",
         "vector_norm_max", "vector_norm_min", "logsumexp", "squeeze")  # fmt: skip

# A blocked node is computed again for each result that needs it, and a chain in which every link needs a number made of
# the one before would take the square of its length. Methods stay below 1.5 computations a node; above these bounds
# everything is computed once, on whole tensors.
_MOST_REPEATS = 8
_FEW_COMPUTATIONS = 512
# Results that lie in memory in another order than row by row, or may; and those that never do.
_VIEWS = ("permute", "expand", "slice", "select", "diagonal", "unfold", "einsum", "svd", "qr", "eigh", "inv", "pinv",
          "solve", "cholesky", "matrix_exp")  # fmt: skip
_FRESH = ("contiguous", "outer", "cat", "stack", "repeat", "gather", "index_select", "diagonal_matrix", "full", "eye")


@dataclass(frozen=True)
class Structure:
    """A template for sites of one shape.

    ``shape`` is how blocks see the site: its elements in one row of n where every blocked operation is elementwise
    (``flat``), else its own. ``specs`` hold dtype and shape of each node (numbers stand for themselves), in that view
    for ``blocked`` nodes; ``dimensions`` are those of the plan. ``masks`` are blocked masks that cost much more to
    compute than to keep as bits. ``last_use`` is the node after whose computation a result is needed no more.
    """

    nodes: tuple[Node, ...]
    output: int
    shape: tuple[int, ...]
    flat: bool
    specs: tuple[Operand, ...]
    dimensions: tuple[int, ...]
    attributes: tuple[Mapping[str, Any], ...]
    blocked: frozenset[int]
    masks: frozenset[int]
    last_use: tuple[int, ...]

    def spec(self, index: int) -> Spec:
        """Dtype and shape of a tensor node."""
        found = self.specs[index]
        assert isinstance(found, Spec)
        return found

    def streamed(self, index: int) -> int | None:
        """The blocked node whose elements, in order, are those of ``index``; None where there is none."""
        while index not in self.blocked:
            node = self.nodes[index]
            if node.op not in ALIASES:
                return None
            index = node.inputs[0]
        return index


def structure_of(template: Template, site: SitePlan, blocks: bool) -> Structure:
    """Analyses a template for one site; without ``blocks`` everything is computed on whole tensors."""
    attributes = tuple(site_attributes(node, site.shape) for node in template.nodes)
    specs = _specs(template.nodes, attributes, site)
    needed = _needed(template)
    flat = _blocked(template.nodes, specs, attributes, site.shape, True) & needed if blocks else frozenset()
    rows = flat
    if blocks and len(site.shape) > 1:
        rows = _blocked(template.nodes, specs, attributes, site.shape, False) & needed
    is_flat = len(site.shape) == 1 or rows <= flat
    blocked = flat if is_flat else rows
    shape = (math.prod(site.shape),) if is_flat else site.shape
    dimensions = tuple(len(spec.shape) if isinstance(spec, Spec) else 0 for spec in specs)
    if is_flat:
        own = site.shape
        specs = tuple(
            Spec(spec.dtype, shape) if index in blocked and isinstance(spec, Spec) and spec.shape == own else spec
            for index, spec in enumerate(specs)
        )
    last = _last_uses(template, blocked)
    masks = _masks(template, specs, shape, blocked)
    nodes, output = template.nodes, template.output
    made = Structure(nodes, output, shape, is_flat, specs, dimensions, attributes, blocked, masks, last)
    if _computations(made, needed) > _MOST_REPEATS * len(nodes) + _FEW_COMPUTATIONS:
        return structure_of(template, site, blocks=False)
    return made


def _computations(structure: Structure, needed: frozenset[int]) -> int:
    """How many nodes all blocked results that are asked for compute, each from its leaves, together."""
    found = 0
    below: dict[int, int] = {}  # for each blocked node a set of bits: what it is made of
    for index in sorted(structure.blocked):
        below[index] = 1 << index
        for source in reads(structure, index):
            if source in structure.blocked and source not in structure.masks:
                below[index] |= below[source]
    wanted = set(structure.masks) | {structure.output}
    for index in needed - structure.blocked:
        wanted.update(structure.nodes[index].inputs)
    for index in wanted & structure.blocked:
        found += below[index].bit_count()
    return found


def structure_key(template: Template, site: SitePlan) -> tuple[Any, ...]:
    """What the structure of a site depends on besides its template: the shape and the numbers that shape results.

    Sites of one key differ in other numbers, so whoever computes with a number takes the site's own, not ``specs``.
    """
    values = site.values
    frozen = tuple(value for value in values if type(value) is not float)
    bounds = tuple(values[slot] for slot in _slots(template, "arange"))
    # Squares are compiled otherwise than other powers.
    squares = tuple(values[slot] == 2.0 for slot in _slots(template, "pow"))
    return (site.shape, frozen, tuple(map(type, values)), bounds, squares)


def _slots(template: Template, op: str) -> list[int]:
    """The slots of the numbers that an operation takes, in order."""
    sources = [template.nodes[source] for node in template.nodes if node.op == op for source in node.inputs]
    slots: list[Any] = [source.attributes[0][1] for source in sources if source.op == "value"]
    return slots


def _specs(nodes: Sequence[Node], attributes: Sequence[Mapping[str, Any]], site: SitePlan) -> tuple[Operand, ...]:
    specs: list[Operand] = []
    for node, own in zip(nodes, attributes, strict=True):
        if node.op == "value":
            specs.append(site.values[own["slot"]])
        elif node.op == "donor":
            specs.append(Spec("float32", site.shape))
        elif node.op == "total":
            specs.append(Spec("float32", ()))
        elif node.op == "constant":
            specs.append(Spec(own["dtype"], own["shape"]))
        elif node.op in ("noise", "statistic"):
            specs.append(Spec("float32", own["shape"]))
        else:
            specs.append(infer(OPERATIONS[node.op], [specs[source] for source in node.inputs], own))
    return tuple(specs)


def _needed(template: Template) -> frozenset[int]:
    needed = {template.output}
    for index in range(template.output, -1, -1):
        if index in needed:
            needed.update(template.nodes[index].inputs)
    return frozenset(needed)


def _blocked(
    nodes: Sequence[Node],
    specs: Sequence[Operand],
    attributes: Sequence[Mapping[str, Any]],
    shape: tuple[int, ...],
    flat: bool,
) -> frozenset[int]:
    """The nodes that can be computed by blocks; ``flat`` allows only elementwise operations on the site's shape."""
    if math.prod(shape) < 2 or shape[0] < 2 or (not flat and len(shape) != 2):
        return frozenset()
    blocked: set[int] = set()
    strided = _strided(nodes, specs)
    for index, node in enumerate(nodes):
        spec = specs[index]
        if (
            strided.intersection(node.inputs)
            or not isinstance(spec, Spec)
            or (spec.shape != shape if flat else spec.shape[:1] != shape[:1])
        ):
            continue
        if node.op in LEAVES or node.op == "full":
            by_rows = node.op in ("donor", "full") or (node.op in ("noise", "statistic") and spec.shape == shape)
        else:
            by_rows = _row_by_row(node, index, specs, attributes[index], blocked, flat)
        if by_rows:
            blocked.add(index)
    return frozenset(blocked)


def _strided(nodes: Sequence[Node], specs: Sequence[Operand]) -> set[int]:
    """The nodes whose elements torch may hold in another order than row by row: sums over some dimensions of what is
    computed from them round as that order has it, and blocks would change it.
    """
    strided: set[int] = set()
    for index, node in enumerate(nodes):
        spec = specs[index]
        if not isinstance(spec, Spec) or sum(size > 1 for size in spec.shape) < 2:
            continue
        if node.op in _FRESH or (node.op == "matmul" and len(spec.shape) == 2):
            continue
        if node.op in _VIEWS or strided.intersection(node.inputs):
            strided.add(index)
    return strided


def _row_by_row(
    node: Node,
    index: int,
    specs: Sequence[Operand],
    attributes: Mapping[str, Any],
    blocked: set[int],
    flat: bool,
) -> bool:
    if not any(source in blocked for source in node.inputs):
        return False
    if OPERATIONS[node.op].elementwise or node.op in _SAME:
        return all(_aligned(specs[source], specs[index], source in blocked, flat) for source in node.inputs)
    if flat:
        return False
    operands = [source for source in node.inputs if isinstance(specs[source], Spec)]
    if not all(source in blocked for source in operands):
        return False
    if node.op == "unsqueeze":
        return bool(attributes["dim"] > 0)
    if node.op in _ALONG:
        return bool(attributes["dim"])
    return node.op in _OVER and bool(attributes["dims"]) and 0 not in attributes["dims"]


def _aligned(operand: Operand, result: Operand, blocked: bool, flat: bool) -> bool:
    """Whether a block of the operand's rows, or all of it, goes with a block of the result's rows."""
    if not isinstance(operand, Spec) or operand.size == 1:
        return True
    assert isinstance(result, Spec)
    if flat:
        return operand.shape == result.shape
    if len(operand.shape) == len(result.shape):
        return operand.shape[0] == result.shape[0] or (operand.shape[0] == 1 and not blocked)
    return not blocked


def _last_uses(template: Template, blocked: frozenset[int]) -> tuple[int, ...]:
    """For each node the last whole computation that needs it; blocked nodes are needed by whatever is made of them."""
    count = len(template.nodes)
    last = [-1] * count
    last[template.output] = count
    for index in range(count - 1, -1, -1):
        if last[index] < 0:
            continue
        until = last[index] if index in blocked else index
        for source in template.nodes[index].inputs:
            last[source] = max(last[source], until)
    return tuple(last)


def _masks(
    template: Template, specs: Sequence[Operand], shape: tuple[int, ...], blocked: frozenset[int]
) -> frozenset[int]:
    """The first masks on the way from what sorts, whose bits fill whole bytes in every row."""
    if len(shape) > 1 and shape[1] % MASK_COLUMNS:
        return frozenset()
    costly: set[int] = set()
    masks: set[int] = set()
    for index, node in enumerate(template.nodes):
        if index in blocked and (node.op in _COSTLY or any(source in costly for source in node.inputs)):
            (masks if specs[index] == Spec("bool", shape) else costly).add(index)
    # Where the output needs what was sorted in other ways too, keeping masks would spare nothing.
    return frozenset() if template.output in costly else frozenset(masks)


def ranked(structure: Structure, index: int) -> int | None:
    """The node whose ranks a node gives: the order of its order along one dimension; None where it is none such."""
    node = structure.nodes[index]
    if node.op != "sort" or index not in structure.blocked:
        return None
    source, own = structure.nodes[node.inputs[0]], dict(node.attributes)
    theirs = dict(source.attributes)
    if source.op != "sort" or own["output"] != 1 or theirs["output"] != 1 or own["dim"] != theirs["dim"]:
        return None
    return None if own["descending"] or theirs["descending"] or not theirs["stable"] else source.inputs[0]


def reads(structure: Structure, index: int) -> tuple[int, ...]:
    """The nodes that a blocked node is computed from."""
    of = ranked(structure, index)
    return structure.nodes[index].inputs if of is None else (of,)
