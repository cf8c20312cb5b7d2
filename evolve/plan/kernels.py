"""What each operation of the allow-list computes: the torch call with the same bits as the eager recipe.

Imported only by what executes plans, because it needs torch. A kernel takes the inputs (tensors and Python numbers),
the attributes with the site's shape filled in, and the device for what it creates.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
ORDERS = {"inf": math.inf, "-inf": -math.inf, "1": 1, "-1": -1, "2": 2, "-2": -2, "fro": "fro", "nuc": "nuc"}

Kernel = Callable[[Sequence[Any], Mapping[str, Any], Any], Any]

# Elements per part of a total, and partial sums in a part. Not tuning knobs: they decide how totals round.
TOTAL_BLOCK = 2**15
LANES = 16
# Positions are packed beside numbers in 16 bits.
MOST_PACKED = 2**16

# Operations whose torch function takes the inputs in order and nothing else.
_PLAIN_NAMES = """
    exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid
    erf erfc erfinv lgamma digamma reciprocal sinc abs neg ceil floor round trunc relu frac sign square isnan isinf
    isfinite signbit logical_not bitwise_not nan_to_num maximum minimum fmax fmin hypot logaddexp logaddexp2 atan2
    copysign xlogy fmod lt le gt ge logical_and logical_or logical_xor where clamp clamp_min clamp_max lerp masked_fill
    median flatten clone trace matmul outer det
"""

_OPERATORS = {
    "add": operator.add,
    "mul": operator.mul,
    "sub": operator.sub,
    "div": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "eq": operator.eq,
    "ne": operator.ne,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
}


def _plain(function: Callable[..., Any]) -> Kernel:
    return lambda inputs, attributes, device: function(*inputs)


def block_sum(block: Tensor) -> Tensor:
    """float64 sum of one block of at most TOTAL_BLOCK float32 elements, the unit of every total.

    LANES sums, each over every LANES-th element from the first to the last, are added pairwise, then what is left of
    the block: an order that compiled loops follow as well.
    """
    numbers = block.double()
    whole = len(numbers) // LANES * LANES
    sums = _in_order(numbers[:whole].view(-1, LANES)) if whole else numbers.new_zeros(LANES)
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    rest = _in_order(numbers[whole:]) if whole < len(numbers) else numbers.new_zeros(())
    return sums[0] + rest


def _in_order(numbers: Tensor) -> Tensor:
    """The sum over the first dimension, one after the other; ``sum`` itself is free to choose."""
    return numbers.cumsum(0)[-1]


def total(tensor: Tensor, squares: bool = False) -> Tensor:
    """float64 sum of a float32 tensor or of its squares: on a CPU fixed blocks in a fixed order, so that neither
    threads nor the size of other blocks can change it.

    ``torch.sum`` itself splits a large tensor among its threads.
    """
    flat = tensor.reshape(-1)
    if flat.device.type != "cpu":
        return (flat.double().square() if squares else flat).sum(dtype=torch.float64)
    blocks = torch.split(flat, TOTAL_BLOCK)
    return add_in_order([block_sum(block.double().square() if squares else block) for block in blocks])


def add_in_order(parts: Sequence[Tensor]) -> Tensor:
    """The parts of a total, 0-dim float64, added from the first to the last."""
    return _in_order(torch.stack(list(parts))) if parts else torch.zeros((), dtype=torch.float64)


def total_sum(tensor: Tensor) -> Tensor:
    """Sum of all elements of a float32 tensor, 0-dim float32, rounded once."""
    return total(tensor).float()


def total_mean(tensor: Tensor) -> Tensor:
    """Mean of all elements of a float32 tensor, 0-dim float32, rounded once."""
    return (total(tensor) / tensor.numel()).float()


def total_norm(tensor: Tensor) -> Tensor:
    """2-norm of all elements of a float32 tensor, 0-dim float32, rounded once."""
    return total(tensor, squares=True).sqrt().float()


def is_total(tensor: Tensor, dims: Sequence[int] | None, keepdim: bool) -> bool:
    """Whether a reduction takes the whole of a float32 tensor to one number."""
    everything = dims is None or len(dims) == tensor.ndim
    return everything and not keepdim and tensor.ndim > 0 and tensor.dtype == torch.float32


def _or_total(whole: Callable[[Tensor], Tensor], otherwise: Kernel) -> Kernel:
    def kernel(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Any:
        if is_total(inputs[0], attributes["dims"], attributes["keepdim"]) and inputs[1:] in ([], [2.0]):
            return whole(inputs[0])
        return otherwise(inputs, attributes, device)

    return kernel


def _dims_keep(function: Callable[..., Any]) -> Kernel:
    """Reductions over ``dims`` (None: all)."""

    def kernel(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Any:
        dims, keepdim = attributes["dims"], attributes["keepdim"]
        if dims is None and not (keepdim and inputs[0].ndim):
            return function(inputs[0])
        return function(inputs[0], dim=tuple(range(inputs[0].ndim)) if dims is None else dims, keepdim=keepdim)

    return kernel


def _dim_keep(function: Callable[..., Any]) -> Kernel:
    """Reductions over one ``dim``."""

    def kernel(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Any:
        return function(*inputs, dim=attributes["dim"], keepdim=attributes["keepdim"])

    return kernel


def _by_dim(function: Callable[..., Any]) -> Kernel:
    return lambda inputs, attributes, device: function(*inputs, dim=attributes["dim"])


def _spread(function: Callable[..., Any]) -> Kernel:
    """var and std."""
    return lambda inputs, attributes, device: function(
        inputs[0], dim=attributes["dims"], correction=attributes["correction"], keepdim=attributes["keepdim"]
    )


def _extremum(function: Callable[..., Any]) -> Kernel:
    return lambda inputs, attributes, device: function(
        inputs[0], dim=() if attributes["dims"] is None else attributes["dims"], keepdim=attributes["keepdim"]
    )


def _norm(order: float | None) -> Kernel:
    return lambda inputs, attributes, device: torch.linalg.vector_norm(
        inputs[0], inputs[1] if order is None else order, dim=attributes["dims"], keepdim=attributes["keepdim"]
    )


def in_range(index: Tensor, size: int) -> Tensor:
    """Positions clamped into ``0..size - 1``: one outside would end the process on a GPU."""
    return index.clamp(0, max(size - 1, 0))


def _gather(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    tensor, index = inputs
    dim = attributes["dim"]
    return torch.gather(tensor, dim, in_range(index, tensor.shape[dim]))


def _index_select(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    tensor, index = inputs
    dim = attributes["dim"]
    return torch.index_select(tensor, dim, in_range(index, tensor.shape[dim]))


def _scatter(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    tensor, index, source = inputs
    dim = attributes["dim"]
    return torch.scatter(tensor, dim, in_range(index, tensor.shape[dim]), source)


def quantile(
    tensor: Tensor, q: float, dim: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Tensor:
    """``torch.quantile`` of one ``q`` by selection instead of sorting, for tensors of any size (torch's own refuses
    more than 16 million elements)."""
    if dim is None:
        values = tensor.reshape(-1)
        shape = (1,) * tensor.ndim if keepdim else ()
        return quantile(values, q, 0, interpolation=interpolation).reshape(shape)
    size = tensor.shape[dim] if tensor.ndim else 1
    return between(lambda k: torch.kthvalue(tensor, k, dim=dim, keepdim=keepdim).values, q, size, interpolation)


def between(kth: Callable[[int], Tensor], q: float, size: int, interpolation: str) -> Tensor:
    """The quantile ``q`` of ``size`` numbers, given a function for the k-th smallest of them (k from 1)."""
    rank = q * (size - 1)
    if interpolation == "nearest":
        rank = float(round(rank))
    below = min(math.floor(rank), size - 1)
    above = min(math.ceil(rank), size - 1)
    low = kth(below + 1)
    if above == below or interpolation == "lower":
        return low
    high = kth(above + 1)
    if interpolation == "higher":
        return high
    return torch.lerp(low, high, 0.5 if interpolation == "midpoint" else rank - below)


def _quantile(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    return quantile(inputs[0], inputs[1], attributes["dim"], attributes["keepdim"], attributes["interpolation"])


def _slice(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    index = [slice(None)] * attributes["dim"]
    index.append(slice(attributes["start"], attributes["stop"], attributes["step"]))
    result: Tensor = inputs[0][tuple(index)]
    return result


def _arange(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    return torch.arange(*inputs, dtype=DTYPES[attributes["dtype"]], device=device)


def _eye(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Tensor:
    return torch.eye(attributes["rows"], attributes["columns"], dtype=DTYPES[attributes["dtype"]], device=device)


def _sort(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Any:
    tensor, dim, descending = inputs[0], attributes["dim"], attributes["descending"]
    if attributes["stable"] and dim == tensor.ndim - 1:
        positions = _positions(tensor, descending)
        if positions is not None:
            return tensor.gather(dim, positions), positions
    return torch.sort(
        inputs[0], dim=attributes["dim"], descending=attributes["descending"], stable=attributes["stable"]
    )


_INFINITY = 0x7F800000


def _positions(tensor: Tensor, descending: bool = False) -> Tensor | None:
    """The positions of ``torch.sort`` along the last dimension, stable; None for what is left to torch.

    Numbers and positions are packed into one integer each, which numpy sorts with vector instructions: 5 ns an element
    where torch takes 37. For float32 on a CPU, without NaN.
    """
    fits = tensor.ndim and 0 < tensor.shape[-1] <= MOST_PACKED and tensor.numel() > 1
    if not fits or tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        return None
    # Adding zero makes -0.0 and 0.0 the same, as they are in comparisons.
    bits = (tensor + 0.0).contiguous().view(torch.int32).numpy()
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    if order.max() > _INFINITY or order.min() < -_INFINITY - 1:
        return None
    keys = (~order if descending else order).astype(numpy.int64)
    keys <<= 16
    keys |= numpy.arange(tensor.shape[-1], dtype=numpy.int64)
    keys.sort(axis=-1)
    keys &= 0xFFFF
    return torch.from_numpy(keys)


def ranks(tensor: Tensor, dim: int) -> Tensor:
    """The rank of each element along ``dim``, 0 for the smallest, the first of equals first: int64.

    The same as ``tensor.argsort(dim, stable=True).argsort(dim)``, which sorts twice.
    """
    positions = _positions(tensor) if dim == tensor.ndim - 1 else None
    if positions is None:
        positions = torch.sort(tensor, dim=dim, stable=True).indices
    shape = [1] * positions.ndim
    shape[dim] = -1
    places = torch.arange(positions.shape[dim], device=positions.device).view(shape).expand_as(positions)
    return torch.empty_like(positions).scatter_(dim, positions, places)


def _topk(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Any:
    tensor, k = inputs
    return torch.topk(tensor, k, dim=attributes["dim"], largest=attributes["largest"], sorted=attributes["sorted"])


def _prod(inputs: Sequence[Any], attributes: Mapping[str, Any], device: Any) -> Any:
    if attributes["dim"] is None:
        return torch.prod(inputs[0])
    return torch.prod(inputs[0], dim=attributes["dim"], keepdim=attributes["keepdim"])


KERNELS: dict[str, Kernel] = {name: _plain(getattr(torch, name)) for name in _PLAIN_NAMES.split()}
KERNELS.update({name: _plain(function) for name, function in _OPERATORS.items()})
KERNELS.update({name: _dims_keep(getattr(torch, name)) for name in ("sum", "nansum", "mean", "nanmean", "all", "any")})
KERNELS.update({name: _extremum(getattr(torch, name)) for name in ("amax", "amin")})
KERNELS.update({name: _dim_keep(getattr(torch, name)) for name in ("argmax", "argmin", "kthvalue")})
KERNELS.update({f"{name}_dim": _dim_keep(getattr(torch, name)) for name in ("max", "min", "median")})
_BY_DIM = ("cumsum", "cumprod", "cummax", "cummin", "softmax", "log_softmax", "unsqueeze")
KERNELS.update({name: _by_dim(getattr(torch, name)) for name in _BY_DIM})
_SQUARE_LINALG = ("svdvals", "eigh", "eigvalsh", "inv", "pinv", "cholesky", "matrix_exp", "solve")
KERNELS.update({name: _plain(getattr(torch.linalg, name)) for name in _SQUARE_LINALG})
KERNELS.update(
    {
        "softplus": _plain(F.softplus),
        "logsigmoid": _plain(F.logsigmoid),
        "silu": _plain(F.silu),
        "gelu": lambda x, a, d: F.gelu(x[0], approximate=a["approximate"]),
        "trunc_divide": lambda x, a, d: torch.div(*x, rounding_mode="trunc"),
        "add_scaled": lambda x, a, d: torch.add(x[0], x[1], alpha=x[2]),
        "addcmul": lambda x, a, d: torch.addcmul(x[0], x[1], x[2], value=x[3]),
        "addcdiv": lambda x, a, d: torch.addcdiv(x[0], x[1], x[2], value=x[3]),
        "isclose": lambda x, a, d: torch.isclose(x[0], x[1], rtol=x[2], atol=x[3]),
        "cast": lambda x, a, d: x[0].to(DTYPES[a["dtype"]]),
        "var": _spread(torch.var),
        "std": _spread(torch.std),
        "prod": _prod,
        "count_nonzero": lambda x, a, d: torch.count_nonzero(x[0], dim=a["dims"]),
        "vector_norm": _norm(None),
        "vector_norm_max": _norm(math.inf),
        "vector_norm_min": _norm(-math.inf),
        "logsumexp": lambda x, a, d: torch.logsumexp(x[0], dim=a["dims"], keepdim=a["keepdim"]),
        "sort": _sort,
        "topk": _topk,
        "quantile": _quantile,
        "cosine_similarity": lambda x, a, d: F.cosine_similarity(x[0], x[1], dim=a["dim"], eps=x[2]),
        "contiguous": lambda x, a, d: x[0].contiguous(),
        "reshape": lambda x, a, d: x[0].reshape(a["shape"]),
        "squeeze": lambda x, a, d: x[0].squeeze(a["dims"]),
        "permute": lambda x, a, d: x[0].permute(a["dims"]),
        "expand": lambda x, a, d: x[0].expand(a["shape"]),
        "repeat": lambda x, a, d: x[0].repeat(a["repeats"]),
        "repeat_interleave": lambda x, a, d: torch.repeat_interleave(x[0], a["repeats"], dim=a["dim"]),
        "cat": lambda x, a, d: torch.cat(list(x), dim=a["dim"]),
        "stack": lambda x, a, d: torch.stack(list(x), dim=a["dim"]),
        "select": lambda x, a, d: x[0].select(a["dim"], a["index"]),
        "slice": _slice,
        "roll": lambda x, a, d: torch.roll(x[0], a["shifts"], a["dims"]),
        "flip": lambda x, a, d: torch.flip(x[0], a["dims"]),
        "tril": lambda x, a, d: torch.tril(x[0], a["diagonal"]),
        "triu": lambda x, a, d: torch.triu(x[0], a["diagonal"]),
        "diagonal": lambda x, a, d: torch.diagonal(x[0], a["offset"], a["dim1"], a["dim2"]),
        "diagonal_matrix": lambda x, a, d: torch.diag(x[0], a["offset"]),
        "index_select": _index_select,
        "gather": _gather,
        "scatter": _scatter,
        "unfold": lambda x, a, d: x[0].unfold(a["dim"], a["size"], a["step"]),
        "full": lambda x, a, d: torch.full(a["shape"], x[0], dtype=DTYPES[a["dtype"]], device=d),
        "eye": _eye,
        "linspace": lambda x, a, d: torch.linspace(x[0], x[1], a["steps"], device=d),
        "arange": _arange,
        "einsum": lambda x, a, d: torch.einsum(a["equation"], *x),
        "svd": lambda x, a, d: torch.linalg.svd(x[0], full_matrices=a["full_matrices"]),
        "qr": lambda x, a, d: torch.linalg.qr(x[0], mode=a["mode"]),
        "matrix_norm": lambda x, a, d: torch.linalg.matrix_norm(x[0], ORDERS[a["order"]], a["dims"], a["keepdim"]),
    }
)
for _name, _whole in (("sum", total_sum), ("mean", total_mean), ("vector_norm", total_norm)):
    KERNELS[_name] = _or_total(_whole, KERNELS[_name])
