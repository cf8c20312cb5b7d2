"""Operations that reduce, scan or order along dimensions: their dtype and shape rules and their costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import Attributes, Registry, Spec, check_dim, need_float, reduced, show


def _dims(attributes: Attributes) -> Any:
    return attributes["dims"] if "dims" in attributes else (attributes["dim"],)


def _sum(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    return Spec(
        "float32" if dtype == "float32" else "int64", reduced(name, shape, _dims(attributes), attributes["keepdim"])
    )


def _float_reduction(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_float(name, inputs[0])
    return Spec("float32", reduced(name, inputs[0].shape, _dims(attributes), attributes["keepdim"]))


def _prod(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    dims = None if attributes["dim"] is None else (attributes["dim"],)
    if dims is None and attributes["keepdim"]:
        raise RecipeError("prod: keepdim needs dim")
    return Spec("float32" if dtype == "float32" else "int64", reduced(name, shape, dims, attributes["keepdim"]))


def _extremum(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    return Spec(dtype, reduced(name, shape, _dims(attributes), attributes["keepdim"], nonempty=True))


def _truth(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("bool", reduced(name, inputs[0].shape, _dims(attributes), attributes["keepdim"]))


def _count(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("int64", reduced(name, inputs[0].shape, attributes["dims"], False))


def _position(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _ordered(name, inputs[0])
    dims = None if attributes["dim"] is None else (attributes["dim"],)
    return Spec("int64", reduced(name, inputs[0].shape, dims, attributes["keepdim"], nonempty=True))


def _vector_norm(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_float(name, inputs[0])
    needs_elements = inputs[1] < 0 or inputs[1] == math.inf
    shape = reduced(name, inputs[0].shape, attributes["dims"], attributes["keepdim"], nonempty=needs_elements)
    return Spec("float32", shape)


def _vector_norm_extreme(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_float(name, inputs[0])
    return Spec("float32", reduced(name, inputs[0].shape, attributes["dims"], attributes["keepdim"], nonempty=True))


def _ordered(name: str, operand: Spec) -> None:
    if operand.dtype == "bool":
        raise RecipeError(f"{name}: not defined for a bool tensor; convert it with .float()")


def _scan(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    check_dim(name, attributes["dim"], shape)
    return Spec("float32" if dtype == "float32" else "int64", shape)


def _extreme_scan(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    check_dim(name, attributes["dim"], shape)
    return Spec(dtype if attributes["output"] == 0 else "int64", shape)


def _softmax(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_float(name, inputs[0])
    check_dim(name, attributes["dim"], inputs[0].shape)
    return inputs[0]  # type: ignore[no-any-return]


def _logsumexp(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("float32", reduced(name, inputs[0].shape, attributes["dims"], attributes["keepdim"]))


def _with_positions(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    """max, min, median along one dimension: values and their positions."""
    if name == "median_dim":
        _ordered(name, inputs[0])
    dtype, shape = inputs[0]
    result = reduced(name, shape, (attributes["dim"],), attributes["keepdim"], nonempty=True)
    return Spec(dtype if attributes["output"] == 0 else "int64", result)


def _length(shape: tuple[int, ...], dim: int) -> int:
    return shape[dim] if shape else 1


def _median(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _ordered(name, inputs[0])
    return Spec(inputs[0].dtype, ())


def _kthvalue(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, k = inputs
    _ordered(name, tensor)
    dim = check_dim(name, attributes["dim"], tensor.shape)
    if not 1 <= k <= _length(tensor.shape, dim):
        raise ShapeMismatch(f"kthvalue: k = {k} is outside 1..{_length(tensor.shape, dim)}, shape {show(tensor.shape)}")
    shape = reduced(name, tensor.shape, (dim,), attributes["keepdim"])
    return Spec(tensor.dtype if attributes["output"] == 0 else "int64", shape)


def _topk(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, k = inputs
    _ordered(name, tensor)
    dim = check_dim(name, attributes["dim"], tensor.shape)
    if not 0 <= k <= _length(tensor.shape, dim):
        raise ShapeMismatch(f"topk: k = {k} is outside 0..{_length(tensor.shape, dim)}, shape {show(tensor.shape)}")
    shape = (*tensor.shape[:dim], k, *tensor.shape[dim + 1 :]) if tensor.shape else ()
    return Spec(tensor.dtype if attributes["output"] == 0 else "int64", shape)


def _sort(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    check_dim(name, attributes["dim"], shape)
    return Spec(dtype if attributes["output"] == 0 else "int64", shape)


def _quantile(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, q = inputs
    need_float(name, tensor)
    if not 0 <= q <= 1:
        raise RecipeError(f"quantile: q = {q} is outside 0..1")
    dims = None if attributes["dim"] is None else (attributes["dim"],)
    return Spec("float32", reduced(name, tensor.shape, dims, attributes["keepdim"], nonempty=True))


def _sort_cost(inputs: Sequence[Any], attributes: Attributes, output: Spec) -> float:
    shape = inputs[0].shape
    length = _length(shape, attributes["dim"])
    return float(2 * math.prod(shape) * max(1.0, math.log2(max(length, 2))))


def _selection_cost(inputs: Sequence[Any], attributes: Attributes, output: Spec) -> float:
    return float(8 * math.prod(inputs[0].shape))


def _cosine_similarity(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    left, right, eps = inputs
    need_float(name, left)
    need_float(name, right)
    if left.shape != right.shape:
        raise ShapeMismatch(f"{name}: shapes {show(left.shape)} and {show(right.shape)} differ")
    if eps < 0:
        raise RecipeError(f"{name}: eps = {eps} must not be negative")
    return Spec("float32", reduced(name, left.shape, (attributes["dim"],), False))


def register(registry: Registry) -> None:
    """Adds reductions, scans and order statistics."""
    add = registry.add
    dims_keep = {"dims": "dims?", "keepdim": "bool"}
    dim_keep = {"dim": "index", "keepdim": "bool"}
    maybe_dim_keep = {"dim": "index?", "keepdim": "bool"}
    add("sum nansum", "t", _sum, kinds=dims_keep)
    add("mean nanmean", "t", _float_reduction, kinds=dims_keep)
    add("var std", "t", _float_reduction, correction="size", kinds=dims_keep)
    add("amax amin", "t", _extremum, kinds=dims_keep)
    add("all any", "t", _truth, kinds=dims_keep)
    add("count_nonzero", "t", _count, dims="dims?")
    add("vector_norm", "tf", _vector_norm, kinds=dims_keep)
    add("vector_norm_max vector_norm_min", "t", _vector_norm_extreme, kinds=dims_keep)
    add("logsumexp", "t", _logsumexp, dims="dims", keepdim="bool")
    add("prod", "t", _prod, kinds=maybe_dim_keep)
    add("argmax argmin", "t", _position, kinds=maybe_dim_keep)
    add("cumsum cumprod", "t", _scan, dim="index")
    add("cummax cummin", "t", _extreme_scan, outputs=("values", "indices"), dim="index")
    add("softmax log_softmax", "t", _softmax, dim="index")
    add("max_dim min_dim", "t", _with_positions, outputs=("values", "indices"), kinds=dim_keep)
    add("median", "t", _median, cost=_selection_cost)
    add("median_dim", "t", _with_positions, outputs=("values", "indices"), cost=_selection_cost, kinds=dim_keep)
    add("kthvalue", "ti", _kthvalue, outputs=("values", "indices"), cost=_selection_cost, kinds=dim_keep)
    topk = {"dim": "index", "largest": "bool", "sorted": "bool"}
    add("topk", "ti", _topk, outputs=("values", "indices"), cost=_sort_cost, kinds=topk)
    sort = {"dim": "index", "descending": "bool", "stable": "bool"}
    add("sort", "t", _sort, outputs=("values", "indices"), cost=_sort_cost, kinds=sort)
    add("quantile", "tf", _quantile, cost=_selection_cost, interpolation="interpolation", kinds=maybe_dim_keep)
    add("cosine_similarity", "ttf", _cosine_similarity, dim="index")
