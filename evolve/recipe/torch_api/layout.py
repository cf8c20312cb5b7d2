"""Torch calls that move, select or join elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import broadcast, show
from evolve.recipe.symbolic import Symbolic, depends_on_values, supports
from evolve.recipe.torch_api.arguments import dimension, emit, integer, integers, own_or, symbol, tensors


def reshaped(tensor: Symbolic, shape: Sequence[int], where: str) -> Symbolic:
    """The tensor in another shape, one of whose sizes may be -1."""
    size = tensor._spec.size
    target = list(shape)
    if target.count(-1) == 1:
        rest = math.prod(item for item in target if item != -1)
        if rest == 0 or size % rest:
            raise ShapeMismatch(f"{where}: shape {show(tensor._spec.shape)} of {size} elements does not become {show(shape)}")
        target[target.index(-1)] = size // rest
    if tuple(target) == tensor._spec.shape:
        return tensor
    if math.prod(target) != size or min(target, default=0) < 0:
        raise ShapeMismatch(f"{where}: shape {show(tensor._spec.shape)} of {size} elements does not become {show(shape)}")
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
    return flatten(input)


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
    sources = [dimension(dim, tensor, "movedim") for dim in (source if isinstance(source, (list, tuple)) else (source,))]
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
    parts = [part if part.ndim > 1 else reshaped(part, (1, part._spec.size), "vstack") for part in _parts(tensors_, "vstack")]
    return cat(parts, 0)


@supports("hstack")
def hstack(tensors_: Any) -> Symbolic:
    parts = [part if part.ndim else reshaped(part, (1,), "hstack") for part in _parts(tensors_, "hstack")]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


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
        return _cut(tensor, dim, [max(b - a, 0) for a, b in zip(bounds[:-1], bounds[1:], strict=True)])
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
    bounds = (None if bound is None else integer(bound, "a slice") for bound in (item.start, item.stop))
    start, stop, _ = slice(*bounds, step).indices(size)
    return start, stop, step


def _tensor_index(tensor: Symbolic, dim: int, item: Any, count: int) -> Symbolic:
    """``tensor[..., item]`` for positions of any shape, which takes the place of the dimension."""
    if isinstance(item, list):
        item = torch.tensor(item)
    if item.dtype == torch.bool:
        depends_on_values("x[mask]", "its shape depends on values; use torch.where(mask, x, 0) or x.masked_fill(mask, value)")
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

