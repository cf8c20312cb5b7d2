"""Torch calls that move, select or join elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import broadcast, show
from evolve.recipe.graph import current
from evolve.recipe.symbolic import Symbolic, supports
from evolve.recipe.torch_api.arguments import dimension, emit, integer, integers, own_or, symbol, tensors


def reshaped(tensor: Symbolic, shape: Sequence[int], where: str) -> Symbolic:
    """The tensor in another shape, one of whose sizes may be -1."""
    size = tensor._spec.size
    target = list(shape)
    if target.count(-1) == 1:
        rest = math.prod(item for item in target if item != -1)
        if rest == 0 or size % rest:
            raise ShapeMismatch(
                f"{where}: shape {show(tensor._spec.shape)} of {size} elements does not become {show(shape)}"
            )
        target[target.index(-1)] = size // rest
    if tuple(target) == tensor._spec.shape:
        return tensor
    if math.prod(target) != size or min(target, default=0) < 0:
        raise ShapeMismatch(
            f"{where}: shape {show(tensor._spec.shape)} of {size} elements does not become {show(shape)}"
        )
    if len(target) == 1:
        return emit("flatten", tensor)
    return emit("reshape", tensor, shape=own_or(tuple(target)))


@supports("reshape", "Tensor.view")
def reshape(input: Any, *shape: Any, **kwargs: Any) -> Symbolic:
    tensor = symbol(input, "reshape")
    if shape and isinstance(shape[0], torch.dtype):
        raise RecipeError("view: reading the bits as another dtype is not available; use .float()")
    return reshaped(tensor, integers((kwargs["shape"],) if "shape" in kwargs else shape, "reshape"), "reshape")


@supports("Tensor.view_as", "Tensor.reshape_as")
def reshape_as(input: Any, other: Any) -> Symbolic:
    return reshaped(symbol(input, "reshape_as"), tuple(other.shape), "reshape_as")


@supports("flatten")
def flatten(input: Any, start_dim: Any = 0, end_dim: Any = -1) -> Symbolic:
    tensor = symbol(input, "flatten")
    shape = tensor._spec.shape
    if not shape:
        return reshaped(tensor, (1,), "flatten")
    start, end = dimension(start_dim, tensor, "flatten"), dimension(end_dim, tensor, "flatten")
    if start > end:
        raise ShapeMismatch(f"flatten: start_dim {start} comes after end_dim {end}")
    return reshaped(tensor, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]), "flatten")


@supports("ravel")
def ravel(input: Any) -> Symbolic:
    return emit("contiguous", flatten(input)) if not current().is_contiguous(symbol(input, "ravel")) else flatten(input)


@supports("unflatten")
def unflatten(input: Any, dim: Any, sizes: Any) -> Symbolic:
    tensor = symbol(input, "unflatten")
    dim = dimension(dim, tensor, "unflatten")
    shape = tensor._spec.shape
    parts = list(integers((sizes,), "unflatten"))
    if parts.count(-1) == 1:
        rest = math.prod(part for part in parts if part != -1)
        parts[parts.index(-1)] = shape[dim] // rest if rest else 0
    if math.prod(parts) != shape[dim]:
        raise ShapeMismatch(f"unflatten: dimension {dim} of shape {show(shape)} does not split into {parts}")
    return reshaped(tensor, (*shape[:dim], *parts, *shape[dim + 1 :]), "unflatten")


@supports("unsqueeze")
def unsqueeze(input: Any, dim: Any) -> Symbolic:
    tensor = symbol(input, "unsqueeze")
    return emit("unsqueeze", tensor, dim=dimension(dim, tensor, "unsqueeze", extra=1))


@supports("squeeze")
def squeeze(input: Any, dim: Any = None) -> Symbolic:
    tensor = symbol(input, "squeeze")
    if dim is None:
        chosen: Sequence[int] = range(tensor.ndim)
    elif tensor.ndim == 0:
        return tensor
    else:
        chosen = [dimension(item, tensor, "squeeze") for item in (dim if isinstance(dim, (list, tuple)) else (dim,))]
    dims = tuple(sorted(index for index in set(chosen) if tensor._spec.shape[index] == 1))
    return emit("squeeze", tensor, dims=dims) if dims else tensor


def permuted(tensor: Symbolic, dims: Sequence[int]) -> Symbolic:
    """The tensor with its dimensions in that order."""
    return tensor if list(dims) == list(range(tensor.ndim)) else emit("permute", tensor, dims=tuple(dims))


@supports("permute")
def permute(input: Any, *dims: Any, **kwargs: Any) -> Symbolic:
    tensor = symbol(input, "permute")
    given = integers((kwargs["dims"],) if "dims" in kwargs else dims, "permute")
    if len(given) != tensor.ndim:
        raise ShapeMismatch(f"permute: {len(given)} dims for shape {show(tensor._spec.shape)}")
    return permuted(tensor, [dimension(dim, tensor, "permute") for dim in given])


@supports("transpose", "swapaxes", "swapdims")
def transpose(input: Any, dim0: Any, dim1: Any) -> Symbolic:
    tensor = symbol(input, "transpose")
    first, second = dimension(dim0, tensor, "transpose"), dimension(dim1, tensor, "transpose")
    dims = list(range(tensor.ndim))
    if dims:
        dims[first], dims[second] = dims[second], dims[first]
    return permuted(tensor, dims)


@supports("t")
def t(input: Any) -> Symbolic:
    tensor = symbol(input, "t")
    if tensor.ndim > 2:
        raise ShapeMismatch(f"t: needs at most 2 dimensions, the tensor has shape {show(tensor._spec.shape)}; use .mT")
    return permuted(tensor, list(reversed(range(tensor.ndim))))


@supports("movedim", "moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Symbolic:
    tensor = symbol(input, "movedim")
    sources = [
        dimension(dim, tensor, "movedim") for dim in (source if isinstance(source, (list, tuple)) else (source,))
    ]
    given = destination if isinstance(destination, (list, tuple)) else (destination,)
    targets = [dimension(dim, tensor, "movedim") for dim in given]
    if len(set(sources)) != len(sources) or len(set(targets)) != len(sources):
        raise ShapeMismatch(f"movedim: {source} to {destination} is no order of the dimensions")
    moved = dict(zip(targets, sources, strict=True))
    rest = iter(index for index in range(tensor.ndim) if index not in sources)
    return permuted(tensor, [moved[index] if index in moved else next(rest) for index in range(tensor.ndim)])


def expanded(tensor: Symbolic, shape: Sequence[int]) -> Symbolic:
    """The tensor repeated along new and one-sized dimensions; -1 keeps a size."""
    own = tensor._spec.shape
    added = len(shape) - len(own)
    target = tuple(own[i - added] if size == -1 and i >= added else size for i, size in enumerate(shape))
    if min(target, default=0) < 0:
        raise ShapeMismatch(f"expand: shape {show(own)} does not expand to {show(shape)}")
    return tensor if target == own else emit("expand", tensor, shape=own_or(target))


@supports("Tensor.expand", "broadcast_to")
def expand(input: Any, *shape: Any, **kwargs: Any) -> Symbolic:
    sizes = (kwargs.get("size", kwargs.get("shape")),) if kwargs else shape
    return expanded(symbol(input, "expand"), integers(sizes, "expand"))


@supports("Tensor.expand_as")
def expand_as(input: Any, other: Any) -> Symbolic:
    return expanded(symbol(input, "expand_as"), tuple(other.shape))


@supports("broadcast_tensors")
def broadcast_tensors(*given: Any) -> list[Symbolic]:
    parts = tensors(given, "broadcast_tensors")
    shape = broadcast("broadcast_tensors", [part._spec for part in parts])
    return [expanded(part, shape) for part in parts]


@supports("Tensor.repeat", "tile")
def repeat(input: Any, *repeats: Any, **kwargs: Any) -> Symbolic:
    tensor = symbol(input, "repeat")
    counts = integers((kwargs.get("repeats", kwargs.get("dims")),) if kwargs else repeats, "repeat")
    return emit("repeat", tensor, repeats=counts)


@supports("repeat_interleave")
def repeat_interleave(input: Any, repeats: Any, dim: Any = None) -> Symbolic:
    tensor = symbol(input, "repeat_interleave")
    if dim is None:
        tensor, dim = flatten(tensor), 0
    chosen = dimension(dim, tensor, "repeat_interleave")
    return emit("repeat_interleave", tensor, repeats=integer(repeats, "repeat_interleave"), dim=chosen)


@supports("cat", "concat", "concatenate")
def cat(tensors_: Any = None, dim: Any = 0, *, tensors: Any = None, axis: Any = None) -> Symbolic:
    parts = _parts(tensors_ if tensors is None else tensors, "cat")
    return emit("cat", *parts, dim=dimension(dim if axis is None else axis, parts[0], "cat"))


@supports("stack")
def stack(tensors_: Any = None, dim: Any = 0, *, tensors: Any = None) -> Symbolic:
    parts = _parts(tensors_ if tensors is None else tensors, "stack")
    return emit("stack", *parts, dim=dimension(dim, parts[0], "stack", extra=1))


def _parts(values: Any, where: str) -> list[Symbolic]:
    return tensors(values, where)


@supports("vstack", "row_stack")
def vstack(tensors_: Any) -> Symbolic:
    parts = [
        part if part.ndim > 1 else reshaped(part, (1, part._spec.size), "vstack") for part in _parts(tensors_, "vstack")
    ]
    return cat(parts, 0)


@supports("hstack")
def hstack(tensors_: Any) -> Symbolic:
    parts = [part if part.ndim else reshaped(part, (1,), "hstack") for part in _parts(tensors_, "hstack")]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@supports("roll")
def roll(input: Any, shifts: Any, dims: Any = None) -> Symbolic:
    tensor = symbol(input, "roll")
    amounts = integers((shifts,), "roll")
    if dims is None:
        return reshaped(emit("roll", flatten(tensor), shifts=amounts, dims=(0,)), tensor._spec.shape, "roll")
    chosen = tuple(dimension(dim, tensor, "roll") for dim in (dims if isinstance(dims, (list, tuple)) else (dims,)))
    return emit("roll", tensor, shifts=amounts, dims=chosen)


@supports("flip")
def flip(input: Any, *dims: Any, **kwargs: Any) -> Symbolic:
    tensor = symbol(input, "flip")
    given = integers((kwargs["dims"],) if "dims" in kwargs else dims, "flip")
    return emit("flip", tensor, dims=tuple(sorted(dimension(dim, tensor, "flip") for dim in given)))


supports("fliplr")(lambda input: flip(input, 1))
supports("flipud")(lambda input: flip(input, 0))


@supports("tril")
def tril(input: Any, diagonal: Any = 0) -> Symbolic:
    return emit("tril", input, diagonal=integer(diagonal, "tril"))


@supports("triu")
def triu(input: Any, diagonal: Any = 0) -> Symbolic:
    return emit("triu", input, diagonal=integer(diagonal, "triu"))


@supports("diagonal")
def diagonal(input: Any, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Symbolic:
    tensor = symbol(input, "diagonal")
    first, second = dimension(dim1, tensor, "diagonal"), dimension(dim2, tensor, "diagonal")
    return emit("diagonal", tensor, offset=integer(offset, "diagonal"), dim1=first, dim2=second)


supports("linalg.diagonal")(lambda A, *, offset=0, dim1=-2, dim2=-1: diagonal(A, offset, dim1, dim2))


@supports("diag")
def diag(input: Any, diagonal: Any = 0) -> Symbolic:
    tensor = symbol(input, "diag")
    offset = integer(diagonal, "diag")
    if tensor.ndim == 1:
        return emit("diagonal_matrix", tensor, offset=offset)
    if tensor.ndim != 2:
        raise ShapeMismatch(f"diag: needs 1 or 2 dimensions, the tensor has shape {show(tensor._spec.shape)}")
    return emit("diagonal", tensor, offset=offset, dim1=0, dim2=1)
