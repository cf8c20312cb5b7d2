"""The allow-list: every operation a plan may hold, with the rule that infers its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evolve.errors import RecipeError, UnsupportedOperation
from evolve.plan import algebra, elementwise, layout, reductions
from evolve.plan.specs import DTYPES, MAX_DIMENSIONS, Operand, Operation, Registry, Spec, show

LEAVES = ("donor", "value", "constant", "noise", "total", "statistic")
DISTRIBUTIONS = ("uniform", "normal")
MAX_EINSUM_CHARACTERS = 32
MAX_SIZE = 2**40

OPERATIONS = Registry()
for _family in (elementwise, reductions, layout, algebra):
    _family.register(OPERATIONS)


def _is_integer(value: object) -> bool:
    return type(value) is int and abs(value) <= MAX_SIZE


def _is_size(value: object) -> bool:
    return _is_integer(value) and value >= 0  # type: ignore[operator]


def _is_index(value: object) -> bool:
    return _is_integer(value) and 0 <= value < MAX_DIMENSIONS  # type: ignore[operator]


def _is_shape(value: object) -> bool:
    return type(value) is tuple and len(value) <= MAX_DIMENSIONS and all(map(_is_size, value))


def _is_dims(value: object) -> bool:
    return type(value) is tuple and len(value) <= MAX_DIMENSIONS and all(map(_is_index, value))


def _is_integers(value: object) -> bool:
    return type(value) is tuple and len(value) <= MAX_DIMENSIONS and all(map(_is_integer, value))


ATTRIBUTE_KINDS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: type(value) is bool,
    "integer": _is_integer,
    "size": _is_size,
    "index": _is_index,
    "index?": lambda value: value is None or _is_index(value),
    "dims": _is_dims,
    "dims?": lambda value: value is None or _is_dims(value),
    "shape": _is_shape,
    "shape?": lambda value: value is None or _is_shape(value),
    "integers": _is_integers,
    "dtype": lambda value: value in DTYPES,
    "interpolation": lambda value: value in ("linear", "lower", "higher", "midpoint", "nearest"),
    "gelu": lambda value: value in ("none", "tanh"),
    "qr_mode": lambda value: value in ("reduced", "complete"),
    "matrix_order": lambda value: value in ("fro", "nuc", "inf", "-inf", "1", "-1", "2", "-2"),
    "equation": lambda value: type(value) is str and 0 < len(value) <= MAX_EINSUM_CHARACTERS,
}
"""What each kind of attribute accepts; ``?`` allows None, which for a shape means the site's own."""


def check_attributes(operation: Operation, attributes: Mapping[str, Any]) -> None:
    """Raises RecipeError unless exactly the declared attributes are there, each of its kind."""
    if attributes.keys() != operation.attributes.keys():
        raise RecipeError(
            f"{operation.name}: attributes {sorted(attributes)} given, {sorted(operation.attributes)} expected"
        )
    for name, kind in operation.attributes.items():
        if not ATTRIBUTE_KINDS[kind](attributes[name]):
            raise RecipeError(f"{operation.name}: {name} = {attributes[name]!r} is not a valid {kind.rstrip('?')}")
    if operation.outputs and attributes["output"] >= len(operation.outputs):
        raise RecipeError(f"{operation.name}: output {attributes['output']} of {len(operation.outputs)}")


_WANTED = {"t": "a tensor", "x": "a tensor or a number", "n": "a number", "i": "an integer", "f": "a number"}


def _accepts(letter: str, operand: Operand) -> bool:
    if letter == "x":
        return True
    if letter == "t" or isinstance(operand, Spec):
        return letter == "t" and isinstance(operand, Spec)
    return letter == "n" or type(operand) is int or (letter == "f" and type(operand) is float)


def check_operands(operation: Operation, inputs: Sequence[Operand]) -> None:
    """Raises RecipeError unless the inputs are as many and of the kinds that the operation takes."""
    letters = operation.operands
    if letters.endswith("*"):
        if not inputs:
            raise RecipeError(f"{operation.name}: needs at least one tensor")
        letters = letters[0] * len(inputs)
    if len(letters) != len(inputs):
        raise RecipeError(f"{operation.name}: takes {len(letters)} inputs, {len(inputs)} given")
    for position, operand in enumerate(inputs):
        letter = letters[position]
        # Most inputs are tensors where a tensor is expected; only the rest is looked at closely.
        if type(operand) is Spec and letter in "tx":
            continue
        if not _accepts(letter, operand):
            given = f"shape {show(operand.shape)}" if isinstance(operand, Spec) else f"the number {operand!r}"
            raise RecipeError(f"{operation.name}: input {position} must be {_WANTED[letter]}, not {given}")


def infer(operation: Operation, inputs: Sequence[Operand], attributes: Mapping[str, Any]) -> Spec:
    """Dtype and shape of the result; attributes are taken as checked. Raises RecipeError or ShapeMismatch."""
    check_operands(operation, inputs)
    spec = operation.rule(operation.name, inputs, attributes)
    if len(spec.shape) > MAX_DIMENSIONS:
        raise RecipeError(f"{operation.name}: {len(spec.shape)} dimensions, at most {MAX_DIMENSIONS} are allowed")
    return spec


def operation(name: str) -> Operation:
    """The operation of that name, or UnsupportedOperation."""
    try:
        return OPERATIONS[name]
    except KeyError:
        raise UnsupportedOperation(f"unknown operation {name!r}") from None
