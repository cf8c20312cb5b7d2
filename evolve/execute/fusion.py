"""Which chains of elementwise nodes become one compiled loop, and what that loop reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evolve.execute.native.emitter import OPERATIONS as COMPILED
from evolve.execute.native.program import FULL, PER_COLUMN, PER_ROW, Load, Program, Step
from evolve.execute.structure import Structure
from evolve.plan.plan import Node
from evolve.plan.specs import Spec

_FLOAT_ONLY = ("add", "sub", "mul", "div", "neg", "abs", "square", "relu", "sign", "clamp", "clamp_min", "clamp_max")
_CLAMPS = ("clamp", "clamp_min", "clamp_max")
_BOOL_ONLY = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")


class Fused(NamedTuple):
    """A loop for ``target``: the nodes that its loads, its scalars and its streams of noise come from, in order."""

    target: int
    program: Program
    loads: tuple[int, ...]
    scalars: tuple[int, ...]
    noises: tuple[int, ...]


def compiled_name(structure: Structure, index: int) -> str | None:
    """The loop operation that computes a blocked node, or None where torch has to."""
    node, spec = structure.nodes[index], structure.specs[index]
    if index not in structure.blocked or not isinstance(spec, Spec) or spec.shape != structure.shape:
        return None
    if spec.dtype == "int64" or not all(_loadable(structure, source) for source in node.inputs):
        return None
    if node.op in _FLOAT_ONLY and spec.dtype != "float32":
        return None
    if node.op in _BOOL_ONLY and spec.dtype != "bool":
        return None
    if node.op == "pow":
        return "square" if structure.specs[node.inputs[1]] == 2.0 and spec.dtype == "float32" else None
    if node.op == "div" and not isinstance(structure.specs[node.inputs[0]], Spec):
        return "number_div"
    if node.op == "cast":
        return "to_float" if spec.dtype == "float32" else "to_bool"
    if node.op in _CLAMPS and any(isinstance(structure.specs[bound], Spec) for bound in node.inputs[1:]):
        return None  # a NaN or a zero among the bounds counts otherwise than as a number
    if node.op in ("where", "masked_fill") and spec.dtype == "bool":
        return f"{node.op}_bool"
    return node.op if node.op in COMPILED else None


def _loadable(structure: Structure, index: int) -> bool:
    """Whether a loop can read this operand: a number, or a float32 or bool tensor by element, row or column."""
    spec = structure.specs[index]
    if not isinstance(spec, Spec):
        return True
    return spec.dtype != "int64" and (spec.size == 1 or _layout(structure, index) is not None)


def _layout(structure: Structure, index: int) -> str | None:
    spec = structure.spec(index)
    if spec.shape == structure.shape or (structure.flat and spec.size == structure.shape[0]):
        return FULL
    if structure.flat:
        return None
    rows, columns = structure.shape
    if spec.shape == (rows, 1):
        return PER_ROW
    whole = index not in structure.blocked
    return PER_COLUMN if whole and spec.shape in ((columns,), (1, columns)) else None


def fuse(structure: Structure, target: int, stored: Mapping[int, str]) -> Fused:
    """The loop that computes ``target`` from the nodes that loops cannot compute; ``stored`` are dtypes of leaves."""
    return _Fusion(structure, stored).build(target)


class _Fusion:
    """Collects what a loop reads while the nodes it computes are visited."""

    def __init__(self, structure: Structure, stored: Mapping[int, str]) -> None:
        self.structure = structure
        self.stored = stored
        self.loads: dict[int, Load] = {}
        self.scalars: dict[int, None] = {}
        self.noises: dict[int, None] = {}
        self.steps: list[int] = []

    def build(self, target: int) -> Fused:
        for index in self._reachable(target):
            self._visit(index)
        places = {index: place for place, index in enumerate([*self.loads, *self.scalars, *self.noises, *self.steps])}
        steps = []
        for index in self.steps:
            name = compiled_name(self.structure, index)
            assert name is not None
            operands = (
                self.structure.nodes[index].inputs[:1] if name == "square" else self.structure.nodes[index].inputs
            )
            steps.append(Step(name, tuple(places[self._read(source)] for source in operands)))
        program = Program(
            tuple(self.loads.values()),
            len(self.scalars),
            len(self.noises),
            tuple(steps),
            places[self._read(target)],
            self.structure.spec(target).dtype,
        )
        return Fused(target, program, tuple(self.loads), tuple(self.scalars), tuple(self.noises))

    def _compiled(self, index: int) -> bool:
        return index not in self.stored and compiled_name(self.structure, index) is not None

    def _reachable(self, target: int) -> list[int]:
        """The target, the nodes computed with it and their operands, in the order of the graph."""
        found, pending = {target}, [target]
        while pending:
            index = pending.pop()
            if not self._compiled(index):
                continue
            operands = self.structure.nodes[index].inputs
            if self.structure.nodes[index].op == "pow":
                operands = operands[:1]
            new = {self._read(source) for source in operands} - found
            found |= new
            pending += new
        return sorted(found)

    def _read(self, index: int) -> int:
        """A tensor of one number is read as that number."""
        node = self.structure.nodes[index]
        return node.inputs[0] if index in self.structure.blocked and is_filled(node) else index

    def _visit(self, index: int) -> None:
        index = self._read(index)
        structure = self.structure
        node, spec = structure.nodes[index], structure.specs[index]
        if self._compiled(index):
            self.steps.append(index)
        elif not isinstance(spec, Spec) or (spec.size == 1 and index not in structure.blocked):
            self.scalars[index] = None
        elif is_uniform(node) and index in structure.blocked:
            self.noises[index] = None
        else:
            layout = _layout(structure, index)
            assert layout is not None
            self.loads[index] = Load(self.stored.get(index, spec.dtype), layout)


def is_filled(node: Node) -> bool:
    """Whether a node is a float32 tensor of one number, as ``zeros_like`` makes."""
    return node.op == "full" and dict(node.attributes)["dtype"] == "float32"


def is_uniform(node: Node) -> bool:
    """Whether a node is noise that loops can draw; normal noise needs a logarithm and a cosine."""
    return node.op == "noise" and dict(node.attributes)["distribution"] == "uniform"
