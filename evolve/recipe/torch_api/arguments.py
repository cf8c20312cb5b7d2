"""Turns the arguments of torch calls into the canonical attributes of operations."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import show
from evolve.recipe.graph import current
from evolve.recipe.symbolic import Symbolic


def emit(name: str, *operands: Any, **attributes: Any) -> Symbolic:
    """Adds an operation to the current site's graph."""
    return current().add(name, operands, attributes)


def symbol(value: Any, where: str) -> Symbolic:
    """A tensor argument: a symbol as it is, a small real tensor as a constant."""
    if type(value) is Symbolic:
        return value
    if isinstance(value, torch.Tensor):
        return current().constant(value)
    raise RecipeError(f"{where}: needs a tensor, not {type(value).__name__} {value!r}", kind="TypeError")


def integer(value: Any, where: str) -> int:
    """A Python integer; symbols raise ValueDependence."""
    try:
        return int(operator.index(value))
    except TypeError:
        raise RecipeError(
            f"{where}: needs an integer, not {value!r}; convert it with int()", kind="TypeError"
        ) from None


def dimension(dim: Any, tensor: Symbolic, where: str, extra: int = 0) -> int:
    """A dimension counted from the front; a tensor without dimensions counts as having one."""
    position = integer(dim, where)
    count = max(len(tensor._spec.shape) + extra, 1)
    if not -count <= position < count:
        raise ShapeMismatch(f"{where}: dimension {position} does not exist in shape {show(tensor._spec.shape)}")
    return position % count


def dimensions(dim: Any, tensor: Symbolic, where: str) -> tuple[int, ...] | None:
    """Dimensions counted from the front, sorted as given; None for all of them."""
    if dim is None:
        return None
    if not isinstance(dim, (list, tuple)):
        return (dimension(dim, tensor, where),)
    return tuple(dimension(item, tensor, where) for item in dim) or None


def integers(args: Sequence[Any], where: str) -> tuple[int, ...]:
    """Sizes given as ``f(2, 3)``, ``f((2, 3))`` or ``f(torch.Size)``."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        args = args[0]
    return tuple(integer(item, where) for item in args)


def own_or(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """None where a shape is the site's own, so that sites of other shapes can share the template."""
    return None if shape == tuple(current().site.shape) else shape


def check_float(dtype: Any, where: str) -> None:
    """Refuses dtypes other than float32 where a function takes one."""
    if dtype not in (None, torch.float32):
        raise RecipeError(f"{where}: dtype {dtype} is not available; recipes compute in torch.float32")


def flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise RecipeError(f"{where}: needs True or False, not {value!r}", kind="TypeError")
    return value


def tensors(values: Iterable[Any], where: str) -> list[Symbolic]:
    """A list of tensors."""
    if isinstance(values, Symbolic):
        values = list(values)
    result = [symbol(value, where) for value in values]
    if not result:
        raise RecipeError(f"{where}: needs at least one tensor", kind="ValueError")
    return result


def results(name: str, count: int, *operands: Any, **attributes: Any) -> list[Symbolic]:
    """All outputs of an operation that has several."""
    return [emit(name, *operands, output=output, **attributes) for output in range(count)]
