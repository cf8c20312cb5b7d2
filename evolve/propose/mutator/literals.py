"""Knobs and numbers as they stand in a syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst

from evolve.propose.mutator.numbers import Range, text_of

_INTEGER_KNOB_RANGE = 3
"""A knob written with whole numbers only is a counting knob when its bounds are at least this far apart."""


@dataclass(frozen=True)
class Knob:
    """A ``knob(...)`` call with literal arguments; ``wide`` when its value is a list."""

    name: str
    values: tuple[float, ...]
    wide: bool
    range: Range
    node: cst.Call


def number_of(node: cst.BaseExpression) -> float | None:
    """The value of a literal number, with its sign; None for anything else."""
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, (cst.Minus, cst.Plus)):
        inner = number_of(node.expression)
        return None if inner is None else (-inner if isinstance(node.operator, cst.Minus) else inner)
    if isinstance(node, (cst.Integer, cst.Float)):
        return float(node.evaluated_value)
    return None


def is_integer(node: cst.BaseExpression) -> bool:
    """Whether a literal is written without a decimal point."""
    if isinstance(node, cst.UnaryOperation):
        return is_integer(node.expression)
    return isinstance(node, cst.Integer)


def number_node(value: float, integer: bool = False) -> cst.BaseExpression:
    return cst.parse_expression(text_of(value, integer))


def argument(call: cst.Call, position: int, keyword: str) -> cst.Arg | None:
    """A call's argument by its place or its name."""
    for index, arg in enumerate(call.args):
        if arg.star:
            return None
        if (arg.keyword is None and index == position) or (arg.keyword is not None and arg.keyword.value == keyword):
            return arg
    return None


def function_name(call: cst.Call) -> str | None:
    """``f`` for both ``f(...)`` and ``module.f(...)``."""
    if isinstance(call.func, cst.Name):
        return call.func.value
    return call.func.attr.value if isinstance(call.func, cst.Attribute) else None


def read_knob(call: cst.Call) -> Knob | None:
    """The knob that a call declares, or None when it is no knob or its arguments are no literals."""
    if function_name(call) != "knob":
        return None
    arguments = [argument(call, *at) for at in ((0, "name"), (1, "value"), (9, "low"), (9, "high"))]
    if any(arg is None for arg in arguments):
        return None
    name, value, low, high = (arg.value for arg in arguments if arg is not None)
    if not isinstance(name, cst.SimpleString) or not isinstance(name.evaluated_value, str):
        return None
    wide = isinstance(value, (cst.List, cst.Tuple))
    items = [element.value for element in value.elements] if isinstance(value, (cst.List, cst.Tuple)) else [value]
    numbers = [number_of(item) for item in (*items, low, high)]
    values = [number for number in numbers if number is not None]
    if len(values) != len(numbers) or len(values) < 3 or values[-2] >= values[-1]:
        return None
    whole = all(is_integer(item) for item in (*items, low, high)) and values[-1] - values[-2] >= _INTEGER_KNOB_RANGE
    return Knob(name.evaluated_value, tuple(values[:-2]), wide, Range(values[-2], values[-1], whole), call)


class _Knobs(cst.CSTVisitor):
    def __init__(self) -> None:
        self.found: dict[str, Knob] = {}

    def visit_Call(self, node: cst.Call) -> None:
        knob = read_knob(node)
        if knob is not None:
            self.found.setdefault(knob.name, knob)


@lru_cache(maxsize=4096)
def statement_knobs(statement: cst.CSTNode) -> Mapping[str, Knob]:
    """The knobs of one statement; nodes are immutable and shared between drafts, so this is remembered."""
    visitor = _Knobs()
    statement.visit(visitor)
    return visitor.found


def find_knobs(tree: cst.Module) -> dict[str, Knob]:
    """The knobs of a tree by name, in order of appearance."""
    found: dict[str, Knob] = {}
    for statement in tree.body:
        for name, knob in statement_knobs(statement).items():
            found.setdefault(name, knob)
    return found


class _SetKnobs(cst.CSTTransformer):
    def __init__(self, values: Mapping[str, tuple[float, ...]]) -> None:
        self.values = values

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        knob = read_knob(original_node)
        if knob is None or knob.name not in self.values:
            return updated_node
        arg = argument(updated_node, 1, "value")
        assert arg is not None, "read_knob saw a value"
        return updated_node.with_deep_changes(arg, value=_value_node(arg.value, knob, self.values[knob.name]))


def _value_node(old: cst.BaseExpression, knob: Knob, values: tuple[float, ...]) -> cst.BaseExpression:
    nodes = [number_node(value, knob.range.integer) for value in values]
    if isinstance(old, (cst.List, cst.Tuple)):
        elements = [item.with_changes(value=node) for item, node in zip(old.elements, nodes, strict=True)]
        return old.with_changes(elements=elements)
    return nodes[0]


def set_knobs(tree: cst.Module, values: Mapping[str, tuple[float, ...]]) -> cst.Module:
    """The tree with new literals for the named knobs; each tuple has the length of the knob's value."""
    change = _SetKnobs(values)
    body = [item.visit(change) if statement_knobs(item).keys() & values.keys() else item for item in tree.body]
    return tree.with_changes(body=body)


class _Constants(cst.CSTVisitor):
    """Literal numbers that are amounts: no knob arguments, indices, slices, loop counts or shapes."""

    def __init__(self, integers: bool) -> None:
        self.integers = integers
        self.found: list[cst.Integer | cst.Float] = []

    def visit_Call(self, node: cst.Call) -> bool:
        return read_knob(node) is None and function_name(node) not in {"knob", "range", "reshape", "view", "len"}

    def visit_Subscript(self, node: cst.Subscript) -> bool:
        return self.integers

    def visit_Float(self, node: cst.Float) -> None:
        self.found.append(node)

    def visit_Integer(self, node: cst.Integer) -> None:
        if self.integers:
            self.found.append(node)


def find_constants(tree: cst.CSTNode, integers: bool = False) -> list[cst.Integer | cst.Float]:
    """Bare numbers of a tree in order of appearance (floats, and whole numbers if asked)."""
    visitor = _Constants(integers)
    tree.visit(visitor)
    return visitor.found


@lru_cache(maxsize=4096)
def knob_values(source: str) -> Mapping[str, tuple[float, ...]]:
    """The knob values of a whole program by name; empty when it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, tuple[float, ...]] = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and len(node.args) >= 2):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name != "knob" or not isinstance(node.args[0], ast.Constant):
            continue
        try:
            value = ast.literal_eval(node.args[1])
            values = tuple(float(item) for item in (value if isinstance(value, (list, tuple)) else [value]))
        except (ValueError, TypeError):
            continue
        found.setdefault(str(node.args[0].value), values)
    return found
