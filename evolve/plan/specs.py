"""What is known of a tensor before it exists: its dtype and shape, and the rules every operation shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evolve.errors import RecipeError, ShapeMismatch

DTYPES = ("bool", "int64", "float32")
RANK = {"bool": 0, "int64": 1, "float32": 2}
MAX_DIMENSIONS = 8
INTEGER_LIMIT = 2**63

Number = bool | int | float


class Spec(NamedTuple):
    """Dtype (``float32``, ``int64`` or ``bool``) and shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


Operand = Spec | bool | int | float
Attributes = Mapping[str, Any]
Rule = Callable[[str, Sequence[Any], Attributes], Spec]
Cost = Callable[[Sequence[Any], Attributes, Spec], float]


def one_pass(inputs: Sequence[Any], attributes: Attributes, output: Spec) -> float:
    """Cost of an operation that touches each element once, in elementary operations."""
    size = math.prod(output.shape)
    for operand in inputs:
        if isinstance(operand, Spec):
            size = max(size, math.prod(operand.shape))
    return float(size)


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the allow-list.

    ``operands`` has one letter per input: ``t`` tensor, ``x`` tensor or number, ``n`` number, ``i`` integer, ``f``
    number that is not a bool; a trailing ``*`` repeats the last letter. ``attributes`` maps each required attribute
    to its kind (see ``ATTRIBUTE_KINDS``). ``rule(name, inputs, attributes)`` gives the output's Spec or raises a
    RecipeError. ``cost`` is in elementary operations. ``outputs`` names the results of an operation that has several.
    """

    name: str
    operands: str
    rule: Rule
    attributes: Mapping[str, str]
    cost: Cost = one_pass
    commutative: bool = False
    elementwise: bool = False
    outputs: tuple[str, ...] = ()


class Registry(dict[str, Operation]):
    """Operations by name; each is added once."""

    def add(
        self,
        names: str,
        operands: str,
        rule: Rule,
        *,
        cost: Cost = one_pass,
        commutative: bool = False,
        elementwise: bool = False,
        outputs: tuple[str, ...] = (),
        kinds: Mapping[str, str] | None = None,
        **attributes: str,
    ) -> None:
        """Registers every operation of the space-separated ``names`` with the same rule; ``kinds`` are more
        attributes.
        """
        all_kinds = {**(kinds or {}), **attributes, **({"output": "index"} if outputs else {})}
        for name in names.split():
            if name in self:
                raise ValueError(f"operation {name!r} is registered twice")
            self[name] = Operation(name, operands, rule, all_kinds, cost, commutative, elementwise, outputs)


def dtype_of(operand: Operand) -> str:
    """The dtype an operand has in promotion; numbers count as tensors without dimensions."""
    if isinstance(operand, Spec):
        return operand.dtype
    if isinstance(operand, bool):
        return "bool"
    return "int64" if isinstance(operand, int) else "float32"


def promote(operands: Iterable[Operand]) -> str:
    """The common dtype. With one dtype per category this is the highest category, as in torch."""
    return max((dtype_of(operand) for operand in operands), key=RANK.__getitem__)


def broadcast(name: str, operands: Iterable[Operand]) -> tuple[int, ...]:
    """The common shape of the operands, or a ShapeMismatch that prints both shapes."""
    result: tuple[int, ...] | None = None
    for operand in operands:
        if not isinstance(operand, Spec):
            continue
        shape = operand.shape
        if result is None:
            result = shape
        elif shape != result:
            result = _broadcast_two(name, result, shape)
    return () if result is None else result


def _broadcast_two(name: str, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    dimensions = max(len(left), len(right))
    padded_left = (1,) * (dimensions - len(left)) + left
    padded_right = (1,) * (dimensions - len(right)) + right
    result = []
    for a, b in zip(padded_left, padded_right, strict=True):
        if a != b and a != 1 and b != 1:
            raise ShapeMismatch(f"{name}: shapes {show(left)} and {show(right)} do not fit together")
        result.append(b if a == 1 else a)
    return tuple(result)


def show(shape: Sequence[int]) -> str:
    """A shape as people write it: ``[2, 3]``."""
    return str(list(shape))


def check_dim(name: str, dim: int, shape: tuple[int, ...], extra: int = 0) -> int:
    """``dim`` if it is a dimension of ``shape``; a tensor without dimensions counts as having one."""
    dimensions = max(len(shape) + extra, 1)
    if not 0 <= dim < dimensions:
        raise ShapeMismatch(f"{name}: dimension {dim} does not exist in shape {show(shape)}")
    return dim


def reduced(
    name: str, shape: tuple[int, ...], dims: Sequence[int] | None, keepdim: bool, *, nonempty: bool = False
) -> tuple[int, ...]:
    """The shape after reducing ``dims`` (None: all of them)."""
    chosen = set(range(len(shape))) if dims is None else set(dims)
    if dims is not None:
        if not dims:
            raise ShapeMismatch(f"{name}: no dimension given; name dimensions or none for all of them")
        if len(chosen) != len(dims):
            raise ShapeMismatch(f"{name}: dimension repeated in dim={list(dims)}")
        for dim in dims:
            check_dim(name, dim, shape)
    if nonempty and any(shape[dim] == 0 for dim in chosen if dim < len(shape)):
        raise ShapeMismatch(f"{name}: nothing to reduce in an empty tensor of shape {show(shape)}")
    if keepdim:
        return tuple(1 if index in chosen else size for index, size in enumerate(shape))
    return tuple(size for index, size in enumerate(shape) if index not in chosen)


def need_float(name: str, operand: Spec) -> None:
    """Raises when the operand is not float32."""
    if operand.dtype != "float32":
        raise RecipeError(f"{name}: needs a float32 tensor, not {operand.dtype}; convert it with .float()")


def need_dimensions(name: str, operand: Spec, least: int, most: int = MAX_DIMENSIONS) -> None:
    """Raises when the number of dimensions is outside ``least..most``."""
    if not least <= len(operand.shape) <= most:
        wanted = str(least) if least == most else f"at least {least}"
        raise ShapeMismatch(f"{name}: needs {wanted} dimensions, the tensor has shape {show(operand.shape)}")
