"""Torch calls that select elements by position."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import show
from evolve.recipe.symbolic import Symbolic, depends_on_values, supports
from evolve.recipe.torch_api.arguments import dimension, emit, integer, symbol
from evolve.recipe.torch_api.layout import reshaped


def sliced(tensor: Symbolic, dim: int, start: int, stop: int, step: int = 1) -> Symbolic:
    """A range of one dimension."""
    if start == 0 and step == 1 and stop == tensor._spec.shape[dim]:
        return tensor
    return emit("slice", tensor, dim=dim, start=start, stop=max(start, stop), step=step)


@supports("narrow")
def narrow(input: Any, dim: Any, start: Any, length: Any) -> Symbolic:
    tensor = symbol(input, "narrow")
    dim, start, length = dimension(dim, tensor, "narrow"), integer(start, "narrow"), integer(length, "narrow")
    size = tensor._spec.shape[dim]
    start = start + size if start < 0 else start
    if start < 0 or length < 0 or start + length > size:
        raise ShapeMismatch(f"narrow: {length} elements from {start} do not fit dimension {dim} of size {size}")
    return sliced(tensor, dim, start, start + length)


@supports("select")
def select(input: Any, dim: Any, index: Any) -> Symbolic:
    tensor = symbol(input, "select")
    dim = dimension(dim, tensor, "select")
    return emit("select", tensor, dim=dim, index=_position(integer(index, "select"), tensor, dim))


def _position(index: int, tensor: Symbolic, dim: int) -> int:
    if not tensor._spec.shape:
        raise ShapeMismatch("a tensor without dimensions cannot be indexed")
    size = tensor._spec.shape[dim]
    if not -size <= index < size:
        raise ShapeMismatch(f"index {index} is outside dimension {dim} of shape {show(tensor._spec.shape)}")
    return index % size


def _cut(tensor: Symbolic, dim: int, sizes: Sequence[int]) -> tuple[Symbolic, ...]:
    start, parts = 0, []
    for size in sizes:
        parts.append(sliced(tensor, dim, start, start + size))
        start += size
    return tuple(parts)


@supports("split")
def split(tensor: Any, split_size_or_sections: Any = None, dim: Any = 0, **kwargs: Any) -> tuple[Symbolic, ...]:
    source = symbol(tensor, "split")
    given = kwargs.get("split_size", split_size_or_sections)
    dim = dimension(dim, source, "split")
    total = source._spec.shape[dim]
    if isinstance(given, (list, tuple)):
        sizes = [integer(size, "split") for size in given]
        if sum(sizes) != total or min(sizes, default=0) < 0:
            raise ShapeMismatch(f"split: sizes {sizes} do not add up to {total} of shape {show(source._spec.shape)}")
    else:
        size = integer(given, "split")
        if size < 1:
            raise ShapeMismatch(f"split: the size must be at least 1, not {size}")
        sizes = [min(size, total - start) for start in range(0, total, size)] or [0]
    return _cut(source, dim, sizes)


@supports("chunk")
def chunk(input: Any, chunks: Any, dim: Any = 0) -> tuple[Symbolic, ...]:
    tensor = symbol(input, "chunk")
    count = integer(chunks, "chunk")
    if count < 1:
        raise ShapeMismatch(f"chunk: needs at least one chunk, not {count}")
    size = -(-tensor._spec.shape[dimension(dim, tensor, "chunk")] // count)
    return split(tensor, max(size, 1), dim)


@supports("tensor_split")
def tensor_split(input: Any, indices_or_sections: Any, dim: Any = 0) -> tuple[Symbolic, ...]:
    tensor = symbol(input, "tensor_split")
    dim = dimension(dim, tensor, "tensor_split")
    total = tensor._spec.shape[dim]
    if isinstance(indices_or_sections, (list, tuple)):
        bounds = [0, *(min(max(integer(i, "tensor_split"), 0), total) for i in indices_or_sections), total]
        return _cut(tensor, dim, [max(b - a, 0) for a, b in itertools.pairwise(bounds)])
    count = integer(indices_or_sections, "tensor_split")
    if count < 1:
        raise ShapeMismatch(f"tensor_split: needs at least one section, not {count}")
    return _cut(tensor, dim, [total // count + (index < total % count) for index in range(count)])


@supports("unbind")
def unbind(input: Any, dim: Any = 0) -> tuple[Symbolic, ...]:
    tensor = symbol(input, "unbind")
    if not tensor.ndim:
        raise ShapeMismatch("a tensor without dimensions cannot be iterated or unbound")
    dim = dimension(dim, tensor, "unbind")
    return tuple(emit("select", tensor, dim=dim, index=index) for index in range(tensor._spec.shape[dim]))


@supports("index_select")
def index_select(input: Any, dim: Any, index: Any) -> Symbolic:
    tensor = symbol(input, "index_select")
    return emit("index_select", tensor, index, dim=dimension(dim, tensor, "index_select"))


@supports("gather")
def gather(input: Any, dim: Any, index: Any) -> Symbolic:
    tensor = symbol(input, "gather")
    return emit("gather", tensor, index, dim=dimension(dim, tensor, "gather"))


@supports("scatter")
def scatter(input: Any, dim: Any, index: Any, src: Any = None, *, value: Any = None) -> Symbolic:
    tensor = symbol(input, "scatter")
    source = value if src is None else src
    if source is None:
        raise RecipeError("scatter: give a value or a source tensor")
    if tensor._spec.dtype == "float32" and not isinstance(source, (Symbolic, torch.Tensor)):
        source = float(source)
    return emit("scatter", tensor, index, source, dim=dimension(dim, tensor, "scatter"))


@supports("Tensor.unfold")
def unfold(input: Any, dimension_: Any, size: Any, step: Any) -> Symbolic:
    tensor = symbol(input, "unfold")
    dim = dimension(dimension_, tensor, "unfold")
    return emit("unfold", tensor, dim=dim, size=integer(size, "unfold"), step=integer(step, "unfold"))


@supports("diff")
def diff(input: Any, n: Any = 1, dim: Any = -1) -> Symbolic:
    tensor = symbol(input, "diff")
    dim = dimension(dim, tensor, "diff")
    for _ in range(integer(n, "diff")):
        size = tensor._spec.shape[dim]
        later, earlier = sliced(tensor, dim, 1, size), sliced(tensor, dim, 0, size - 1)
        tensor = emit("logical_xor" if tensor._spec.dtype == "bool" else "sub", later, earlier)
    return tensor


@supports("Tensor.__getitem__")
def getitem(input: Any, index: Any) -> Symbolic:
    """Basic indexing (integers, ranges, None, Ellipsis) and one vector of positions."""
    tensor = symbol(input, "indexing")
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if used > tensor.ndim:
        raise ShapeMismatch(f"{used} indices for a tensor of shape {show(tensor._spec.shape)}")
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    dim = vectors = 0
    for position, item in enumerate(items):
        if item is Ellipsis:
            dim = tensor.ndim - sum(1 for later in items[position + 1 :] if later is not None)
        elif item is None:
            tensor = emit("unsqueeze", tensor, dim=dim)
            dim += 1
        elif isinstance(item, slice):
            tensor = sliced(tensor, dim, *_range(item, tensor._spec.shape[dim]))
            dim += 1
        elif isinstance(item, (Symbolic, torch.Tensor, list)):
            vectors += 1
            before = tensor.ndim
            tensor = _tensor_index(tensor, dim, item, vectors)
            dim += 1 + tensor.ndim - before
        else:
            tensor = emit("select", tensor, dim=dim, index=_position(integer(item, "an index"), tensor, dim))
    return tensor


def _range(item: slice, size: int) -> tuple[int, int, int]:
    step = 1 if item.step is None else integer(item.step, "a slice")
    if step < 1:
        raise RecipeError(f"a slice needs a positive step, not {step}; use torch.flip")
    first, last = (None if bound is None else integer(bound, "a slice") for bound in (item.start, item.stop))
    start, stop, _ = slice(first, last, step).indices(size)
    return start, stop, step


def _tensor_index(tensor: Symbolic, dim: int, item: Any, count: int) -> Symbolic:
    """``tensor[..., item]`` for positions of any shape, which takes the place of the dimension."""
    if isinstance(item, list):
        item = torch.tensor(item)
    if item.dtype == torch.bool:
        depends_on_values(
            "x[mask]", "its shape depends on values; use torch.where(mask, x, 0) or x.masked_fill(mask, value)"
        )
    if count > 1:
        raise RecipeError("indexing takes one tensor of positions; use torch.gather for several")
    shape = tensor._spec.shape
    size = shape[dim]
    if isinstance(item, torch.Tensor):
        if item.numel() and not -size <= int(item.min()) <= int(item.max()) < size:
            raise ShapeMismatch(f"indices {item.tolist()} are outside dimension {dim} of size {size}")
        index = symbol(item % max(size, 1), "an index")
    else:
        # Negative positions count from the end.
        index = emit("remainder", item, max(size, 1))
    selected = emit("index_select", tensor, reshaped(index, (index._spec.size,), "indexing"), dim=dim)
    return reshaped(selected, (*shape[:dim], *index._spec.shape, *shape[dim + 1 :]), "indexing")


@supports("Tensor.__len__")
def length(input: Any) -> int:
    return len(input)
