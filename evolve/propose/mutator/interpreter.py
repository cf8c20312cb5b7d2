"""Runs simple recipe code on numbers without executing it: a small evaluator of syntax trees.

It knows numbers, strings, lists, tuples, dictionaries, ``site``, helper functions, the merge methods and conditions on
the site. Everything else raises Unsupported; a step limit bounds its time. Program text never reaches ``exec``.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

STEPS = 20_000
MAX_DEPTH = 12
MAX_ITEMS = 512
LARGEST_INTEGER = 2**62


class Unsupported(Exception):
    """Code beyond the evaluator; the caller goes on without its result."""


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


def _range(*bounds: int) -> list[int]:
    numbers = range(*bounds)
    if len(numbers) > MAX_ITEMS:
        raise Unsupported("loop")
    return list(numbers)


def _enumerated(items: Sequence[Any]) -> list[tuple[int, Any]]:
    return list(enumerate(items))


def _total(items: Sequence[Any]) -> Any:
    """``sum`` without a start value, which would join lists."""
    return sum(items)


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": min, "max": max, "abs": abs, "int": int, "float": float, "round": round, "len": len, "bool": bool,
    "exp": math.exp, "sqrt": math.sqrt, "sin": math.sin, "cos": math.cos, "tanh": math.tanh, "log": math.log,
    "floor": math.floor, "ceil": math.ceil, "list": list, "tuple": tuple, "zip": lambda *a: list(zip(*a, strict=False)),
    "dict": dict, "sum": _total, "enumerate": _enumerated,
    "range": _range,
}  # fmt: skip
_METHODS = frozenset({"index", "get", "startswith", "endswith"})
_CONSTANTS = {"pi": math.pi, "e": math.e}


class Interpreter:
    """The definitions of one program; ``call`` evaluates one of its functions.

    ``natives`` are functions (knob, merge methods) that the program may call.
    """

    def __init__(self, tree: ast.Module, natives: Mapping[str, Callable[..., Any]]) -> None:
        self._natives = natives
        self._steps = STEPS
        self.globals: dict[str, Any] = {}
        for statement in tree.body:
            if not isinstance(statement, (ast.Import, ast.ImportFrom)):
                self._run(statement, self.globals, 0)

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The value that a function of the program returns; raises Unsupported."""
        self._steps = STEPS
        function = self.globals.get(name)
        if not isinstance(function, ast.FunctionDef):
            raise Unsupported(name)
        return self._apply(function, (), arguments, 0)

    def parameters(self, name: str) -> list[str]:
        """The parameters of a function of the program; raises Unsupported when it takes ``*`` or ``**``."""
        function = self.globals.get(name)
        if not isinstance(function, ast.FunctionDef) or function.args.kwarg or function.args.vararg:
            raise Unsupported(name)
        return _names(function)

    def _apply(self, function: ast.FunctionDef, positional: Sequence[Any], named: Mapping[str, Any], depth: int) -> Any:
        names = _names(function)
        if depth > MAX_DEPTH or len(positional) > len(names):
            raise Unsupported(function.name)
        local = dict(zip(names, positional, strict=False)) | dict(named)
        arguments = [*function.args.posonlyargs, *function.args.args]
        defaults = function.args.defaults
        for arg, default in zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True):
            if arg.arg not in local:
                local[arg.arg] = self._value(default, self.globals, depth)
        if not all(name in local for name in names):
            raise Unsupported(function.name)
        try:
            for statement in function.body:
                self._run(statement, local, depth + 1)
        except _Return as found:
            return found.value
        return None

    def _run(self, node: ast.stmt, local: dict[str, Any], depth: int) -> None:
        self._step()
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                return
            case ast.FunctionDef(name=name, decorator_list=[]):
                local[name] = node
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                local[name] = self._value(value, local, depth)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                for target, item in zip(targets, self._value(value, local, depth), strict=True):
                    if not isinstance(target, ast.Name):
                        raise Unsupported("assignment")
                    local[target.id] = item
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                old = self._look_up(name, local)
                local[name] = self._binary(op, old, self._value(value, local, depth))
            case ast.If(test=test, body=body, orelse=orelse):
                for statement in body if self._value(test, local, depth) else orelse:
                    self._run(statement, local, depth)
            case ast.For(target=ast.Name(id=name), iter=items, body=body, orelse=[]):
                for item in self._items(items, local, depth):
                    local[name] = item
                    for statement in body:
                        self._run(statement, local, depth)
            case ast.Return(value=ast.expr() as value):
                raise _Return(self._value(value, local, depth))
            case _:
                raise Unsupported(type(node).__name__)

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise Unsupported("too many steps")

    def _look_up(self, name: str, local: Mapping[str, Any]) -> Any:
        for names in (local, self.globals, _CONSTANTS):
            if name in names:
                return names[name]
        raise Unsupported(name)

    def _binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Pow) and isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return float(left) ** float(right)
        if type(op) not in _BINARY or isinstance(left, str) or isinstance(right, str):
            raise Unsupported("operator")
        if isinstance(left, (list, tuple)) or isinstance(right, (list, tuple)):
            size = len(left) * right if isinstance(right, int) and not isinstance(left, int) else MAX_ITEMS + 1
            if not isinstance(op, ast.Mult) or size > MAX_ITEMS:
                raise Unsupported("list operator")
        result = _BINARY[type(op)](left, right)
        if isinstance(result, int) and abs(result) > LARGEST_INTEGER:
            raise Unsupported("a whole number too large")
        return result

    def _items(self, node: ast.expr, local: dict[str, Any], depth: int) -> list[Any]:
        items = self._value(node, local, depth)
        if not isinstance(items, (list, tuple, dict)) or len(items) > MAX_ITEMS:
            raise Unsupported("loop")
        return list(items)

    def _value(self, node: ast.expr, local: dict[str, Any], depth: int) -> Any:
        self._step()
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._look_up(name, local)
            case ast.Attribute(value=ast.Name(id="math"), attr=name):
                return self._look_up(name, _CONSTANTS)
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(self._value(owner, local, depth), name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left, local, depth), self._value(right, local, depth))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand, local, depth)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._value(operand, local, depth)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, local, depth)
            case ast.BoolOp(op=op, values=values):
                stop = isinstance(op, ast.Or)
                return next((v for v in (self._value(i, local, depth) for i in values) if bool(v) is stop), not stop)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._compare(ops, [self._value(item, local, depth) for item in (left, *rest)])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test, local, depth) else orelse, local, depth)
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return [self._value(item, local, depth) for item in elements]
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return {self._value(k, local, depth): self._value(v, local, depth) for k, v in pairs if k is not None}
            case ast.Subscript(value=owner, slice=place):
                return self._subscript(self._value(owner, local, depth), place, local, depth)
            case ast.Call():
                return self._call(node, local, depth)
            case ast.ListComp(
                elt=element, generators=[ast.comprehension(target=ast.Name(id=name), iter=items, ifs=[])]
            ):
                scope = dict(local)
                return [self._value(element, scope | {name: item}, depth) for item in self._items(items, local, depth)]
            case _:
                raise Unsupported(type(node).__name__)

    @staticmethod
    def _compare(ops: Sequence[ast.cmpop], values: Sequence[Any]) -> bool:
        pairs = zip(ops, values[:-1], values[1:], strict=True)
        return all(_COMPARE[type(op)](left, right) for op, left, right in pairs)

    @staticmethod
    def _attribute(owner: Any, name: str) -> Any:
        if name.startswith("_") or name not in getattr(owner, "readable", ()):
            raise Unsupported(name)
        return getattr(owner, name)

    def _subscript(self, owner: Any, place: ast.expr, local: dict[str, Any], depth: int) -> Any:
        if not isinstance(owner, (list, tuple, dict)):
            raise Unsupported("subscript")
        if isinstance(place, ast.Slice):
            bounds = (place.lower, place.upper, place.step)
            return owner[slice(*(None if b is None else self._value(b, local, depth) for b in bounds))]
        return owner[self._value(place, local, depth)]

    def _call(self, node: ast.Call, local: dict[str, Any], depth: int) -> Any:
        if any(isinstance(arg, ast.Starred) for arg in node.args) or any(item.arg is None for item in node.keywords):
            raise Unsupported("starred call")
        positional = [self._value(arg, local, depth) for arg in node.args]
        named = {str(item.arg): self._value(item.value, local, depth) for item in node.keywords}
        match node.func:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="math"), attr=name):
                function = local.get(name, self.globals.get(name))
                if isinstance(function, ast.FunctionDef):
                    return self._apply(function, positional, named, depth + 1)
                native = self._natives.get(name, _FUNCTIONS.get(name))
                if native is None:
                    raise Unsupported(name)
                return native(*positional, **named)
            case ast.Attribute(value=owner, attr=name) if name in _METHODS:
                value = self._value(owner, local, depth)
                if not isinstance(value, (list, tuple, dict, str)):
                    raise Unsupported(name)
                return getattr(value, name)(*positional, **named)
            case _:
                raise Unsupported("call")


def _names(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    return [arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
