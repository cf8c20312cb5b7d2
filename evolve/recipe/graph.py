"""The graph of one site while its recipe runs: nodes are added as operations happen, equal ones once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import ContextVar
from numbers import Integral, Real
from typing import Any

import torch

from evolve.errors import InvalidPlan, RecipeError, ShapeMismatch
from evolve.plan.operations import LEAVES, OPERATIONS, check_attributes, infer, operation
from evolve.plan.plan import Node, Template
from evolve.plan.specs import INTEGER_LIMIT, MAX_DIMENSIONS, Operand, Operation, Spec, show
from evolve.plan.statistics import shape_of
from evolve.plan.validate import PlanLimits
from evolve.recipe.symbolic import Symbolic
from evolve.site import Site

# Integers up to here are floats without rounding, so that `2 * x` and `2.0 * x` are one plan.
EXACT_INTEGER = 2**53
TORCH_DTYPES = {torch.float32: "float32", torch.int64: "int64", torch.bool: "bool"}

CURRENT: ContextVar[Graph | None] = ContextVar("graph", default=None)


def current() -> Graph:
    """The graph of the site whose merge() runs now."""
    graph = CURRENT.get()
    if graph is None:
        raise RecipeError("tensor operations on donors belong inside merge() or gather(); nothing is traced here")
    return graph


class Graph:
    """Nodes of one site in the order of their making, hash-consed; ``seed`` and the count of draws make noise
    repeatable.
    """

    __slots__ = ("_contiguous", "_known", "draws", "limits", "nodes", "seed", "site", "specs", "values")

    def __init__(self, site: Site, limits: PlanLimits, seed: int = 0) -> None:
        self.site = site
        self.limits = limits
        self.seed = seed
        self.draws = 0
        self.nodes: list[Node] = []
        self.specs: list[Operand] = []
        self.values: list[bool | int | float] = []
        self._known: dict[Any, int] = {}
        self._contiguous: list[bool] = []

    def donor(self, name: str) -> Symbolic:
        return self._leaf("donor", Spec("float32", tuple(self.site.shape)), name=name)

    def total(self, name: str) -> Symbolic:
        """The sum over all sites of what gather() returns under a name."""
        return self._leaf("total", Spec("float32", ()), name=name)

    def statistic(self, donor: str, name: str) -> Symbolic:
        shape = shape_of(name, self.site)
        own = None if shape == tuple(self.site.shape) else shape
        return self._leaf("statistic", Spec("float32", shape), donor=donor, name=name, shape=own)

    def noise(self, distribution: str, shape: tuple[int, ...]) -> Symbolic:
        """The next draw of this site."""
        spec = Spec("float32", shape)
        index, self.draws = self.draws, self.draws + 1
        own = None if shape == tuple(self.site.shape) else shape
        return self._leaf("noise", spec, distribution=distribution, shape=own, index=index, seed=self.seed)

    def constant(self, tensor: torch.Tensor) -> Symbolic:
        """A small literal tensor."""
        if tensor.numel() > self.limits.max_constant_elements:
            raise RecipeError(
                f"a literal tensor of shape {show(tensor.shape)} has {tensor.numel()} elements, at most "
                f"{self.limits.max_constant_elements} are allowed; build it with torch.full, torch.arange or "
                "torch.where"
            )
        if tensor.dtype not in TORCH_DTYPES:
            raise RecipeError(
                f"a literal tensor of {tensor.dtype}; recipes compute in torch.float32, use dtype=torch.float32"
            )
        if tensor.ndim > MAX_DIMENSIONS:
            raise ShapeMismatch(f"a literal tensor of {tensor.ndim} dimensions, at most {MAX_DIMENSIONS} are allowed")
        data = tuple(tensor.detach().reshape(-1).tolist())
        if tensor.dtype == torch.float32 and not all(map(math.isfinite, data)):
            raise RecipeError("a literal tensor holds inf or nan; only finite numbers are allowed")
        shape, dtype = tuple(tensor.shape), TORCH_DTYPES[tensor.dtype]
        # 0.0 and -0.0 are equal but not the same literal; their texts differ.
        return self._leaf("constant", Spec(dtype, shape), key=repr(data), dtype=dtype, shape=shape, data=data)

    def add(self, name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> Symbolic:
        """The result of an operation on symbols, numbers and small literal tensors."""
        op = operation(name)
        inputs: list[Any] = []
        specs: list[Any] = []
        numbers = False
        for operand in operands:
            if type(operand) is Symbolic:
                if operand._graph is not self:
                    raise RecipeError(
                        f"a tensor of site {operand._graph.site.name!r} is used in another call, for site "
                        f"{self.site.name!r}; a recipe keeps nothing between calls, totals are what sites share"
                    )
                inputs.append(operand._index)
                specs.append(operand._spec)
            elif isinstance(operand, torch.Tensor):
                literal = self.constant(operand)
                inputs.append(literal._index)
                specs.append(literal._spec)
            else:
                number = plain_number(operand, name)
                numbers = True
                inputs.append(None)
                specs.append(number)
        if attributes:
            check_attributes(op, attributes)
            if attributes.get("shape", ()) is None:
                spec = infer(op, specs, {**attributes, "shape": tuple(self.site.shape)})
            else:
                spec = infer(op, specs, attributes)
        else:
            spec = infer(op, specs, attributes)
        if numbers:
            kept = self._fill_numbers(op, inputs, specs)
            if kept is not None:
                return Symbolic(self, kept, spec)
        elif name == "neg" and self.nodes[inputs[0]].op == "neg" and self._is_dense(self.nodes[inputs[0]].inputs[0]):
            return Symbolic(self, self.nodes[inputs[0]].inputs[0], spec)
        return self._append(name, tuple(inputs), tuple(sorted(attributes.items())) if attributes else (), spec)

    def _fill_numbers(self, op: Operation, inputs: list[Any], specs: list[Any]) -> int | None:
        """Gives numbers their nodes; the index of an operand that is already the result, where that is exact."""
        floating = op.elementwise and any(type(spec) is Spec and spec.dtype == "float32" for spec in specs)
        for position, number in enumerate(specs):
            if type(number) is not Spec:
                if floating and type(number) is not float and abs(number) <= EXACT_INTEGER:
                    number = specs[position] = float(number)
                inputs[position] = self._value(number)
        return self._identity(op.name, inputs, specs) if floating and op.name in ("mul", "div", "sub") else None

    def _identity(self, name: str, inputs: list[Any], specs: list[Any]) -> int | None:
        """``x * 1``, ``x / 1`` and ``x - 0`` are x to the bit."""
        neutral = 0.0 if name == "sub" else 1.0
        for tensor, number in ((0, 1), (1, 0)) if name == "mul" else ((0, 1),):
            exact = specs[number] == neutral and not (name == "sub" and math.copysign(1.0, specs[number]) < 0)
            if type(specs[number]) is float and exact and specs[tensor].dtype == "float32":
                index: int = inputs[tensor]
                return index if self._is_dense(index) else None
        return None

    def _is_dense(self, index: int) -> bool:
        """Whether an elementwise result has the same layout: of some views it is a copy laid out otherwise, whose sums
        may round otherwise."""
        node = self.nodes[index]
        return node.op in LEAVES or OPERATIONS[node.op].elementwise

    def is_contiguous(self, tensor: Symbolic) -> bool:
        """Whether a tensor surely lies in memory in the order of its elements, so that a copy of it changes nothing."""
        for index in range(len(self._contiguous), len(self.nodes)):
            node, spec = self.nodes[index], self.specs[index]
            plain = node.op in LEAVES or node.op == "full"
            if not plain and OPERATIONS[node.op].elementwise:
                assert isinstance(spec, Spec)
                operands = [(self.specs[source], self._contiguous[source]) for source in node.inputs]
                plain = all(
                    not isinstance(operand, Spec) or not operand.shape or (operand.shape == spec.shape and contiguous)
                    for operand, contiguous in operands
                )
            self._contiguous.append(plain)
        return self._contiguous[tensor._index]

    def _value(self, number: bool | int | float) -> int:
        key = ("value", type(number), repr(number))
        index = self._known.get(key)
        if index is None:
            self.values.append(number)
            node = Node("value", (), (("slot", len(self.values) - 1),))
            index = self._known[key] = self._push(node, number)
        return index

    def _leaf(self, op: str, spec: Spec, key: Any = None, **attributes: Any) -> Symbolic:
        return self._append(op, (), tuple(sorted(attributes.items())), spec, key)

    def _append(self, op: str, inputs: tuple[int, ...], attributes: Any, spec: Spec, key: Any = None) -> Symbolic:
        node = Node(op, inputs, attributes)
        known = node if key is None else (node, key)
        index = self._known.get(known)
        if index is None:
            index = self._known[known] = self._push(node, spec)
        return Symbolic(self, index, spec)

    def _push(self, node: Node, spec: Operand) -> int:
        if len(self.nodes) >= self.limits.max_nodes_per_site:
            raise InvalidPlan(
                f"the recipe makes more than {self.limits.max_nodes_per_site} operations for site {self.site.name!r}; "
                "write it with fewer, larger tensor operations"
            )
        self.nodes.append(node)
        self.specs.append(spec)
        return len(self.nodes) - 1

    def finish(self, output: Symbolic) -> tuple[Template, tuple[bool | int | float, ...]]:
        """The template of what the output needs, and the numbers for its slots."""
        needed = {output._index}
        for index in range(output._index, -1, -1):
            if index in needed:
                needed.update(self.nodes[index].inputs)
        places: dict[int, int] = {}
        nodes: list[Node] = []
        values: list[bool | int | float] = []
        for index in sorted(needed):
            node = self.nodes[index]
            places[index] = len(nodes)
            if node.op == "value":
                values.append(self.values[node.attributes[0][1]])  # type: ignore[index]
                nodes.append(Node("value", (), (("slot", len(values) - 1),)))
            elif node.inputs:
                nodes.append(Node(node.op, tuple([places[source] for source in node.inputs]), node.attributes))
            else:
                nodes.append(node)
        return Template(tuple(nodes), places[output._index]), tuple(values)


def plain_number(value: Any, where: str) -> bool | int | float:
    """A Python number; numpy scalars are converted. Raises RecipeError for what is no number or not finite."""
    if type(value) is float:
        number: bool | int | float = value
    elif isinstance(value, bool):
        return value
    elif isinstance(value, Integral):
        number = int(value)
        if abs(number) >= INTEGER_LIMIT:
            raise RecipeError(f"{where}: the integer {str(number)[:40]} has more than 64 bits")
        return number
    elif isinstance(value, Real):
        number = float(value)
    else:
        shown = type(value).__name__
        raise RecipeError(f"{where}: an operand is a {shown}, not a tensor or a number", kind="TypeError")
    if not math.isfinite(number):
        raise RecipeError(f"{where}: the number {number} is not finite; use a large finite number or torch.where")
    return number
