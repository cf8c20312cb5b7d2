"""Torch calls that reduce, scan or order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from evolve.errors import RecipeError
from evolve.recipe.symbolic import Symbolic, supports
from evolve.recipe.torch_api.arguments import (
    check_float,
    dimension,
    dimensions,
    emit,
    flag,
    integer,
    results,
    symbol,
)


class Positions(NamedTuple):
    """Values and where they are."""

    values: Any
    indices: Any


class Extremes(NamedTuple):
    """What torch.aminmax returns."""

    min: Any
    max: Any


def _over_dims(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None, axis: Any = None) -> Symbolic:
        tensor = symbol(input, name)
        check_float(dtype, name)
        if name in ("all", "any") and dim == ():
            raise RecipeError(f"{name}: dim=() reduces nothing; name dimensions or leave dim out")
        dims = dimensions(dim if axis is None else axis, tensor, name)
        return emit(name, tensor, dims=dims, keepdim=flag(keepdim, name))

    handler.__name__ = name
    return handler


for _name in ("sum", "nansum", "mean", "nanmean", "all", "any"):
    supports(_name)(_over_dims(_name))


def _extremum(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, dim: Any = (), keepdim: Any = False) -> Symbolic:
        tensor = symbol(input, name)
        dims = dimensions(dim, tensor, name)
        return emit(name, tensor, dims=dims, keepdim=flag(keepdim, name))

    handler.__name__ = name
    return handler


for _name in ("amax", "amin"):
    supports(_name)(_extremum(_name))


def _max_or_min(name: str, pointwise: str, reduction: str) -> Callable[..., Any]:
    def handler(input: Any, dim: Any = None, keepdim: Any = False, *, other: Any = None) -> Any:
        tensor = symbol(input, name)
        other = dim if isinstance(dim, (Symbolic, torch.Tensor)) else other
        if other is not None:
            return emit(pointwise, tensor, other)
        if dim is None:
            return emit(reduction, tensor, dims=None, keepdim=False)
        attributes = {"dim": dimension(dim, tensor, name), "keepdim": flag(keepdim, name)}
        return Positions(*results(f"{name}_dim", 2, tensor, **attributes))

    handler.__name__ = name
    return handler


supports("max")(_max_or_min("max", "maximum", "amax"))
supports("min")(_max_or_min("min", "minimum", "amin"))


@supports("aminmax")
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    tensor = symbol(input, "aminmax")
    attributes = {"dims": dimensions(dim, tensor, "aminmax"), "keepdim": flag(keepdim, "aminmax")}
    return Extremes(emit("amin", tensor, **attributes), emit("amax", tensor, **attributes))


def _spread(name: str) -> Callable[..., Symbolic]:
    def handler(
        input: Any,
        dim: Any = None,
        unbiased: Any = None,
        keepdim: Any = False,
        *,
        correction: Any = None,
        axis: Any = None,
    ) -> Symbolic:
        tensor = symbol(input, name)
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        dims = dimensions(dim if axis is None else axis, tensor, name)
        if correction is None:
            correction = 0 if unbiased is False else 1
        return emit(name, tensor, dims=dims, keepdim=flag(keepdim, name), correction=integer(correction, name))

    handler.__name__ = name
    return handler


supports("var")(_spread("var"))
supports("std")(_spread("std"))


@supports("prod")
def prod(input: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Symbolic:
    tensor = symbol(input, "prod")
    check_float(dtype, "prod")
    if dim is None:
        return emit("prod", tensor, dim=None, keepdim=flag(keepdim, "prod"))
    return emit("prod", tensor, dim=dimension(dim, tensor, "prod"), keepdim=flag(keepdim, "prod"))


def _position(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, dim: Any = None, keepdim: Any = False) -> Symbolic:
        tensor = symbol(input, name)
        chosen = None if dim is None else dimension(dim, tensor, name)
        return emit(name, tensor, dim=chosen, keepdim=flag(keepdim, name))

    handler.__name__ = name
    return handler


supports("argmax")(_position("argmax"))
supports("argmin")(_position("argmin"))


@supports("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Symbolic:
    tensor = symbol(input, "count_nonzero")
    return emit("count_nonzero", tensor, dims=dimensions(dim, tensor, "count_nonzero"))


def vector_norm(input: Any, ord: Any = 2, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Symbolic:
    tensor = symbol(input, "norm")
    check_float(dtype, "norm")
    attributes = {"dims": dimensions(dim, tensor, "norm"), "keepdim": flag(keepdim, "norm")}
    if isinstance(ord, (int, float)) and math.isinf(ord):
        return emit("vector_norm_max" if ord > 0 else "vector_norm_min", tensor, **attributes)
    return emit("vector_norm", tensor, float(ord), **attributes)


supports("linalg.vector_norm")(vector_norm)


def matrix_norm(
    input: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: Any = False, *, dtype: Any = None
) -> Symbolic:
    tensor = symbol(input, "matrix_norm")
    check_float(dtype, "matrix_norm")
    order = f"{ord:g}" if isinstance(ord, (int, float)) else ord
    dims = dimensions(dim, tensor, "matrix_norm")
    return emit("matrix_norm", tensor, order=order, dims=dims, keepdim=flag(keepdim, "matrix_norm"))


supports("linalg.matrix_norm")(matrix_norm)


@supports("norm")
def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: Any = False, dtype: Any = None, out: Any = None
) -> Symbolic:
    if p == "nuc":
        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2.0 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


@supports("linalg.norm")
def linalg_norm(input: Any, ord: Any = None, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Symbolic:
    tensor = symbol(input, "norm")
    pair = isinstance(dim, (list, tuple)) and len(dim) == 2
    if ord is not None and (pair or (dim is None and tensor.ndim == 2)):
        return matrix_norm(tensor, ord, dim if pair else (-2, -1), keepdim, dtype=dtype)
    if ord is not None and dim is None and tensor.ndim > 2:
        raise RecipeError(f"linalg.norm: give dim with ord = {ord} for a tensor of {tensor.ndim} dimensions")
    return vector_norm(tensor, 2.0 if ord is None else ord, dim, keepdim, dtype=dtype)


@supports("dist")
def dist(input: Any, other: Any, p: Any = 2) -> Symbolic:
    return vector_norm(emit("sub", input, other), p)


@supports("logsumexp", "special.logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: Any = False) -> Symbolic:
    tensor = symbol(input, "logsumexp")
    dims = dimensions(dim, tensor, "logsumexp")
    if dims is None:
        raise RecipeError("logsumexp: give dim")
    return emit("logsumexp", tensor, dims=dims, keepdim=flag(keepdim, "logsumexp"))


def _scan(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, dim: Any, *, dtype: Any = None) -> Symbolic:
        tensor = symbol(input, name)
        check_float(dtype, name)
        return emit(name, tensor, dim=dimension(dim, tensor, name))

    handler.__name__ = name
    return handler


for _name in ("cumsum", "cumprod"):
    supports(_name)(_scan(_name))


def _extreme_scan(name: str) -> Callable[..., Any]:
    def handler(input: Any, dim: Any) -> Any:
        tensor = symbol(input, name)
        return Positions(*results(name, 2, tensor, dim=dimension(dim, tensor, name)))

    handler.__name__ = name
    return handler


for _name in ("cummax", "cummin"):
    supports(_name)(_extreme_scan(_name))


def _softmax(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, dim: Any = None, dtype: Any = None, _stacklevel: int = 3) -> Symbolic:
        if dim is None:
            raise RecipeError(f"{name}: give dim")
        tensor = symbol(input, name)
        check_float(dtype, name)
        return emit(name, tensor, dim=dimension(dim, tensor, name))

    handler.__name__ = name
    return handler


for _name in ("softmax", "log_softmax"):
    supports(_name, f"nn.functional.{_name}", f"special.{_name}")(_softmax(_name))


@supports("median")
def median(input: Any, dim: Any = None, keepdim: Any = False) -> Any:
    tensor = symbol(input, "median")
    if dim is None:
        return emit("median", tensor)
    attributes = {"dim": dimension(dim, tensor, "median"), "keepdim": flag(keepdim, "median")}
    return Positions(*results("median_dim", 2, tensor, **attributes))


@supports("kthvalue")
def kthvalue(input: Any, k: Any, dim: Any = -1, keepdim: Any = False) -> Any:
    tensor = symbol(input, "kthvalue")
    attributes = {"dim": dimension(dim, tensor, "kthvalue"), "keepdim": flag(keepdim, "kthvalue")}
    return Positions(*results("kthvalue", 2, tensor, integer(k, "kthvalue: k"), **attributes))


@supports("topk")
def topk(input: Any, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> Any:
    tensor = symbol(input, "topk")
    attributes = {"largest": flag(largest, "topk"), "sorted": flag(sorted, "topk")}
    dim = dimension(dim, tensor, "topk")
    return Positions(*results("topk", 2, tensor, integer(k, "topk: k"), dim=dim, **attributes))


@supports("sort")
def sort(input: Any, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any:
    tensor = symbol(input, "sort")
    attributes = {"descending": flag(descending, "sort"), "stable": flag(stable, "sort")}
    return Positions(*results("sort", 2, tensor, dim=dimension(dim, tensor, "sort"), **attributes))


@supports("argsort")
def argsort(input: Any, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any:
    return sort(input, dim, descending, stable).indices


@supports("msort")
def msort(input: Any) -> Any:
    return sort(input, 0).values


@supports("quantile")
def quantile(input: Any, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: str = "linear") -> Any:
    tensor = symbol(input, "quantile")
    chosen = None if dim is None else dimension(dim, tensor, "quantile")
    attributes = {"dim": chosen, "keepdim": flag(keepdim, "quantile"), "interpolation": interpolation}
    return quantiles(
        q, lambda one: emit("quantile", tensor, one, **attributes), lambda parts: emit("stack", *parts, dim=0)
    )


def quantiles(q: Any, one: Callable[[float], Any], stack: Callable[[list[Any]], Any]) -> Any:
    """A quantile for a number ``q`` or a literal tensor without dimensions; a stack of them for a literal vector."""
    if isinstance(q, Symbolic):
        raise RecipeError("quantile: q must be a number or a literal tensor, not computed from tensors")
    levels = q.tolist() if isinstance(q, torch.Tensor) else q
    if isinstance(levels, (int, float)):
        return one(float(levels))
    return stack([one(float(level)) for level in levels])


@supports("nn.functional.cosine_similarity", "cosine_similarity")
def cosine_similarity(x1: Any, x2: Any, dim: Any = 1, eps: float = 1e-8) -> Symbolic:
    left, right = symbol(x1, "cosine_similarity"), symbol(x2, "cosine_similarity")
    return emit("cosine_similarity", left, right, float(eps), dim=dimension(dim, left, "cosine_similarity"))


@supports("nn.functional.normalize")
def normalize(input: Any, p: Any = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Symbolic:
    tensor = symbol(input, "normalize")
    length = emit("clamp_min", vector_norm(tensor, p, dim, True), eps)
    return emit("div", tensor, emit("expand", length, shape=tensor._spec.shape))
