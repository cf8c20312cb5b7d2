"""Operations that create, move, select or join elements: their dtype and shape rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import (
    MAX_DIMENSIONS,
    Attributes,
    Registry,
    Spec,
    check_dim,
    dtype_of,
    need_dimensions,
    promote,
    show,
)

LARGEST = {"float32": 3.4028234663852886e38, "int64": 2.0**63 - 1025, "bool": 2.0**63 - 1025}


def _reshape(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    target = tuple(attributes["shape"])
    if math.prod(shape) != math.prod(target):
        raise ShapeMismatch(
            f"{name}: shape {show(shape)} has {math.prod(shape)} elements, {show(target)} has {math.prod(target)}"
        )
    return Spec(dtype, target)


def _same(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return inputs[0]  # type: ignore[no-any-return]


def _flatten(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    return Spec(dtype, (math.prod(shape),))


def _unsqueeze(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    dim = check_dim(name, attributes["dim"], shape, extra=1)
    return Spec(dtype, (*shape[:dim], 1, *shape[dim:]))


def _squeeze(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    dims = {check_dim(name, dim, shape) for dim in attributes["dims"]}
    return Spec(dtype, tuple(size for index, size in enumerate(shape) if index not in dims or size != 1))


def _permute(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    dims = attributes["dims"]
    if sorted(dims) != list(range(len(shape))):
        raise ShapeMismatch(f"permute: dims {list(dims)} are not an order of the dimensions of shape {show(shape)}")
    return Spec(dtype, tuple(shape[dim] for dim in dims))


def _expand(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    target = tuple(attributes["shape"])
    added = len(target) - len(shape)
    if added < 0 or any(a not in (1, b) for a, b in zip(shape, target[added:], strict=True)):
        raise ShapeMismatch(f"expand: shape {show(shape)} does not expand to {show(target)}")
    return Spec(dtype, target)


def _repeat(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    repeats = attributes["repeats"]
    if len(repeats) < len(shape):
        raise ShapeMismatch(f"repeat: {len(repeats)} counts for shape {show(shape)}; give one per dimension")
    padded = (1,) * (len(repeats) - len(shape)) + shape
    return Spec(dtype, tuple(size * count for size, count in zip(padded, repeats, strict=True)))


def _repeat_interleave(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    need_dimensions(name, inputs[0], 1)
    dim = check_dim(name, attributes["dim"], shape)
    return Spec(dtype, (*shape[:dim], shape[dim] * attributes["repeats"], *shape[dim + 1 :]))


def _cat(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    first = inputs[0].shape
    need_dimensions(name, inputs[0], 1)
    dim = check_dim(name, attributes["dim"], first)
    total = 0
    for operand in inputs:
        shape = operand.shape
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != dim
        ):
            raise ShapeMismatch(f"cat: shapes {show(first)} and {show(shape)} do not fit along dimension {dim}")
        total += shape[dim]
    return Spec(promote(inputs), (*first[:dim], total, *first[dim + 1 :]))


def _stack(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    first = inputs[0].shape
    dim = check_dim(name, attributes["dim"], first, extra=1)
    for operand in inputs:
        if operand.shape != first:
            raise ShapeMismatch(f"stack: shapes {show(first)} and {show(operand.shape)} differ")
    return Spec(promote(inputs), (*first[:dim], len(inputs), *first[dim:]))


def _select(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    need_dimensions(name, inputs[0], 1)
    dim = check_dim(name, attributes["dim"], shape)
    if not 0 <= attributes["index"] < shape[dim]:
        raise ShapeMismatch(f"index {attributes['index']} is outside dimension {dim} of shape {show(shape)}")
    return Spec(dtype, shape[:dim] + shape[dim + 1 :])


def _slice(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    need_dimensions(name, inputs[0], 1)
    dim = check_dim(name, attributes["dim"], shape)
    start, stop, step = attributes["start"], attributes["stop"], attributes["step"]
    if not 0 <= start <= stop <= shape[dim] or step < 1:
        raise ShapeMismatch(f"slice {start}:{stop}:{step} does not fit dimension {dim} of shape {show(shape)}")
    return Spec(dtype, (*shape[:dim], -(-(stop - start) // step), *shape[dim + 1 :]))


def _roll(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    shifts, dims = attributes["shifts"], attributes["dims"]
    if len(shifts) != len(dims):
        raise ShapeMismatch(f"roll: {len(shifts)} shifts for {len(dims)} dimensions")
    if not shifts or not inputs[0].shape:
        raise ShapeMismatch(f"roll: {len(shifts)} shifts for shape {show(inputs[0].shape)}")
    for dim in dims:
        check_dim(name, dim, inputs[0].shape)
    return inputs[0]  # type: ignore[no-any-return]


def _flip(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dims = [check_dim(name, dim, inputs[0].shape) for dim in attributes["dims"]]
    if len(set(dims)) != len(dims):
        raise ShapeMismatch(f"flip: dimension repeated in {dims}")
    return inputs[0]  # type: ignore[no-any-return]


def _triangle(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_dimensions(name, inputs[0], 2)
    return inputs[0]  # type: ignore[no-any-return]


def _diagonal(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    need_dimensions(name, inputs[0], 2)
    dim1, dim2 = check_dim(name, attributes["dim1"], shape), check_dim(name, attributes["dim2"], shape)
    if dim1 == dim2:
        raise ShapeMismatch(f"diagonal: dim1 and dim2 are both {dim1}")
    offset = attributes["offset"]
    rows, columns = shape[dim1], shape[dim2]
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    rest = tuple(size for index, size in enumerate(shape) if index not in (dim1, dim2))
    return Spec(dtype, (*rest, max(length, 0)))


def _diagonal_matrix(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    need_dimensions(name, inputs[0], 1, 1)
    size = shape[0] + abs(attributes["offset"])
    return Spec(dtype, (size, size))


def _need_index(name: str, operand: Spec) -> None:
    if operand.dtype != "int64":
        raise RecipeError(f"{name}: the index must be an int64 tensor, not {operand.dtype}")


def _index_select(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, index = inputs
    _need_index(name, index)
    need_dimensions(name, tensor, 1)
    need_dimensions(name, index, 1, 1)
    dim = check_dim(name, attributes["dim"], tensor.shape)
    if tensor.shape[dim] == 0 and index.shape[0]:
        raise ShapeMismatch(f"{name}: nothing to select in shape {show(tensor.shape)}")
    return Spec(tensor.dtype, (*tensor.shape[:dim], index.shape[0], *tensor.shape[dim + 1 :]))


def _index_fits(name: str, index: tuple[int, ...], shape: tuple[int, ...], skip: int) -> None:
    fits = len(index) == len(shape) and all(
        i == skip or a <= b for i, (a, b) in enumerate(zip(index, shape, strict=True))
    )
    if not fits:
        raise ShapeMismatch(f"{name}: index of shape {show(index)} does not fit shape {show(shape)}")


def _gather(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, index = inputs
    _need_index(name, index)
    need_dimensions(name, tensor, 1)
    dim = check_dim(name, attributes["dim"], tensor.shape)
    _index_fits(name, index.shape, tensor.shape, dim)
    if tensor.shape[dim] == 0 and index.size:
        raise ShapeMismatch(f"{name}: nothing to gather in shape {show(tensor.shape)}")
    return Spec(tensor.dtype, index.shape)


def _scatter(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, index, source = inputs
    _need_index(name, index)
    need_dimensions(name, tensor, 1)
    dim = check_dim(name, attributes["dim"], tensor.shape)
    _index_fits(name, index.shape, tensor.shape, dim)
    if tensor.shape[dim] == 0 and index.size:
        raise ShapeMismatch(f"{name}: nowhere to write in shape {show(tensor.shape)}")
    if isinstance(source, Spec):
        _index_fits(name, index.shape, source.shape, -1)
        if source.dtype != tensor.dtype:
            raise RecipeError(f"{name}: source is {source.dtype}, the tensor {tensor.dtype}; convert one of them")
    elif dtype_of(source) == "float32" and tensor.dtype != "float32":
        raise RecipeError(f"{name}: a float value into a {tensor.dtype} tensor; convert it with .float()")
    return tensor  # type: ignore[no-any-return]


def _unfold(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    need_dimensions(name, inputs[0], 1, MAX_DIMENSIONS - 1)
    dim = check_dim(name, attributes["dim"], shape)
    size, step = attributes["size"], attributes["step"]
    if not 1 <= size <= shape[dim] or step < 1:
        raise ShapeMismatch(f"unfold: windows of {size} every {step} do not fit dimension {dim} of shape {show(shape)}")
    return Spec(dtype, (*shape[:dim], (shape[dim] - size) // step + 1, *shape[dim + 1 :], size))


def _full(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if abs(inputs[0]) > LARGEST[attributes["dtype"]]:
        raise RecipeError(f"full: the number {inputs[0]} is too large for {attributes['dtype']}")
    return Spec(attributes["dtype"], tuple(attributes["shape"]))


def _eye(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec(attributes["dtype"], (attributes["rows"], attributes["columns"]))


def _steps(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("float32", (attributes["steps"],))


def arange_length(start: float, end: float, step: float) -> int:
    """Number of elements of ``torch.arange``, which computes it in double precision."""
    if step == 0 or (end - start) / step < 0:
        raise RecipeError(f"arange: a step of {step} does not lead from {start} to {end}")
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
        return -((start - end) // step)
    length = (end - start) / step
    if not math.isfinite(length):
        raise RecipeError(f"arange: too many elements from {start} to {end} by {step}")
    return math.ceil(length)


def _arange(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    whole = all(isinstance(bound, int) for bound in inputs)
    if attributes["dtype"] == "bool" or (attributes["dtype"] == "int64" and not whole):
        raise RecipeError(f"arange: from {inputs[0]} to {inputs[1]} by {inputs[2]} is no {attributes['dtype']} tensor")
    return Spec(attributes["dtype"], (arange_length(*inputs),))


def register(registry: Registry) -> None:
    """Adds the operations on layout, selection and creation."""
    add = registry.add
    add("reshape", "t", _reshape, shape="shape?")
    add("flatten", "t", _flatten)
    add("clone contiguous", "t", _same)
    add("unsqueeze", "t", _unsqueeze, dim="index")
    add("squeeze", "t", _squeeze, dims="dims")
    add("permute", "t", _permute, dims="dims")
    add("expand", "t", _expand, shape="shape?")
    add("repeat", "t", _repeat, repeats="shape")
    add("repeat_interleave", "t", _repeat_interleave, repeats="size", dim="index")
    add("cat", "t*", _cat, dim="index")
    add("stack", "t*", _stack, dim="index")
    add("select", "t", _select, dim="index", index="size")
    add("slice", "t", _slice, dim="index", start="size", stop="size", step="size")
    add("roll", "t", _roll, shifts="integers", dims="dims")
    add("flip", "t", _flip, dims="dims")
    add("tril triu", "t", _triangle, diagonal="integer")
    add("diagonal", "t", _diagonal, offset="integer", dim1="index", dim2="index")
    add("diagonal_matrix", "t", _diagonal_matrix, offset="integer")
    add("index_select", "tt", _index_select, dim="index")
    add("gather", "tt", _gather, dim="index")
    add("scatter", "ttx", _scatter, dim="index")
    add("unfold", "t", _unfold, dim="index", size="size", step="size")
    add("full", "n", _full, shape="shape?", dtype="dtype")
    add("eye", "", _eye, rows="size", columns="size", dtype="dtype")
    add("linspace", "ff", _steps, steps="size")
    add("arange", "fff", _arange, dtype="dtype")
