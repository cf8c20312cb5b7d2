"""Matrix products and decompositions: their dtype and shape rules and their costs."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.specs import Attributes, Registry, Spec, broadcast, check_dim, need_dimensions, need_float, show

# Elementary operations per multiply-add of a decomposition, an upper estimate of LAPACK's.
DECOMPOSITION_FACTOR = 32.0


def _matmul(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    left, right = inputs
    if left.dtype != right.dtype or left.dtype == "bool":
        raise RecipeError(f"matmul: needs two float32 tensors, not {left.dtype} and {right.dtype}")
    if not left.shape or not right.shape:
        raise ShapeMismatch(f"matmul: shapes {show(left.shape)} and {show(right.shape)} must have dimensions")
    rows = left.shape[-2:-1]
    columns = right.shape[-1:] if len(right.shape) > 1 else ()
    inner = right.shape[-2] if len(right.shape) > 1 else right.shape[0]
    if left.shape[-1] != inner:
        raise ShapeMismatch(f"matmul: shapes {show(left.shape)} and {show(right.shape)} do not fit together")
    batch = broadcast(name, (Spec("bool", left.shape[:-2]), Spec("bool", right.shape[:-2])))
    return Spec(left.dtype, batch + rows + columns)


def _matmul_cost(inputs: Sequence[Any], attributes: Attributes, output: Spec) -> float:
    return float(2 * math.prod(output.shape) * max(inputs[0].shape[-1], 1))


def _outer(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    left, right = inputs
    need_dimensions(name, left, 1, 1)
    need_dimensions(name, right, 1, 1)
    if left.dtype != right.dtype:
        raise RecipeError(f"outer: dtypes {left.dtype} and {right.dtype} differ; convert with .float()")
    return Spec(left.dtype, (left.shape[0], right.shape[0]))


def _trace(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_dimensions(name, inputs[0], 2, 2)
    if inputs[0].dtype == "bool":
        raise RecipeError(f"{name}: not defined for a bool tensor; convert it with .float()")
    return Spec("float32" if inputs[0].dtype == "float32" else "int64", ())


def einsum_terms(equation: str, count: int) -> tuple[list[str], str]:
    """Input and output letters of an explicit einsum equation of one or two operands, without an ellipsis."""
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    letters = set("".join(terms) + output)
    if not arrow or len(terms) != count or not letters <= set(string.ascii_letters) or len(set(output)) != len(output):
        raise RecipeError(f"einsum: {equation!r} is not supported; write one letter per dimension, as in 'ij,jk->ik'")
    if not set(output) <= set(left):
        raise RecipeError(f"einsum: the output of {equation!r} names a letter that no input has")
    return terms, output


def _einsum_sizes(inputs: Sequence[Any], attributes: Attributes) -> tuple[dict[str, int], str]:
    terms, output = einsum_terms(attributes["equation"], len(inputs))
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, inputs, strict=True):
        if len(term) != len(operand.shape):
            raise ShapeMismatch(f"einsum: {term!r} names {len(term)} dimensions of shape {show(operand.shape)}")
        for letter, size in zip(term, operand.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeMismatch(f"einsum: {letter!r} is {sizes[letter]} and {size} in {attributes['equation']!r}")
    return sizes, output


def _einsum(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    for operand in inputs:
        need_float(name, operand)
    if len(inputs) > 2:
        raise RecipeError("einsum: takes one or two tensors; multiply more in steps")
    sizes, output = _einsum_sizes(inputs, attributes)
    return Spec("float32", tuple(sizes[letter] for letter in output))


def _einsum_cost(inputs: Sequence[Any], attributes: Attributes, output: Spec) -> float:
    return 2.0 * math.prod(_einsum_sizes(inputs, attributes)[0].values())


def _matrix(name: str, operand: Spec, *, square: bool = False) -> tuple[tuple[int, ...], int, int]:
    """Batch dimensions, rows and columns of a float32 matrix."""
    need_float(name, operand)
    need_dimensions(name, operand, 2)
    *batch, rows, columns = operand.shape
    if square and rows != columns:
        raise ShapeMismatch(f"{name}: needs square matrices, the tensor has shape {show(operand.shape)}")
    return tuple(batch), rows, columns


def _svd(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, rows, columns = _matrix(name, inputs[0])
    rank = min(rows, columns)
    full = attributes["full_matrices"]
    shapes = ((*batch, rows, rows if full else rank), (*batch, rank), (*batch, columns if full else rank, columns))
    return Spec("float32", shapes[attributes["output"]])


def _svdvals(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, rows, columns = _matrix(name, inputs[0])
    return Spec("float32", (*batch, min(rows, columns)))


def _qr(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, rows, columns = _matrix(name, inputs[0])
    inner = rows if attributes["mode"] == "complete" else min(rows, columns)
    shapes = ((*batch, rows, inner), (*batch, inner, columns))
    return Spec("float32", shapes[attributes["output"]])


def _eigh(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, size, _ = _matrix(name, inputs[0], square=True)
    return Spec("float32", ((*batch, size), (*batch, size, size))[attributes["output"]])


def _eigvalsh(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, size, _ = _matrix(name, inputs[0], square=True)
    return Spec("float32", (*batch, size))


def _square_matrix(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _matrix(name, inputs[0], square=True)
    return inputs[0]  # type: ignore[no-any-return]


def _pinv(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, rows, columns = _matrix(name, inputs[0])
    return Spec("float32", (*batch, columns, rows))


def _det(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    batch, _, _ = _matrix(name, inputs[0], square=True)
    return Spec("float32", batch)


def _solve(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    matrix, right = inputs
    need_float(name, right)
    batch, size, _ = _matrix(name, matrix, square=True)
    vector = len(right.shape) == 1
    if batch or len(right.shape) > 2 or not right.shape or right.shape[0] != size:
        raise ShapeMismatch(
            f"solve: shapes {show(matrix.shape)} and {show(right.shape)} do not fit; give [n, n] and [n] or [n, k]"
        )
    return Spec("float32", right.shape if vector else (size, right.shape[1]))


def _matrix_norm(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _matrix(name, inputs[0])
    shape = inputs[0].shape
    dims = [check_dim(name, dim, shape) for dim in attributes["dims"]]
    if len(set(dims)) != 2:
        raise ShapeMismatch(f"{name}: needs two different dimensions, not {dims}")
    if any(shape[dim] == 0 for dim in dims):
        raise ShapeMismatch(f"{name}: nothing to reduce in an empty tensor of shape {show(shape)}")
    if attributes["keepdim"]:
        return Spec("float32", tuple(1 if index in dims else size for index, size in enumerate(shape)))
    return Spec("float32", tuple(size for index, size in enumerate(shape) if index not in dims))


def _decomposition_cost(inputs: Sequence[Any], attributes: Attributes, output: Spec) -> float:
    shape = inputs[0].shape
    smaller = min(shape[-2:])
    if attributes.get("full_matrices") or attributes.get("mode") == "complete":
        smaller = max(shape[-2:])
    return float(DECOMPOSITION_FACTOR * math.prod(shape) * max(smaller, 1))


def register(registry: Registry) -> None:
    """Adds products and decompositions."""
    add = registry.add
    costly = _decomposition_cost
    add("matmul", "tt", _matmul, cost=_matmul_cost)
    add("outer", "tt", _outer)
    add("trace", "t", _trace)
    add("einsum", "t*", _einsum, cost=_einsum_cost, equation="equation")
    add("svd", "t", _svd, outputs=("U", "S", "Vh"), cost=costly, full_matrices="bool")
    add("svdvals", "t", _svdvals, cost=costly)
    add("qr", "t", _qr, outputs=("Q", "R"), cost=costly, mode="qr_mode")
    add("eigh", "t", _eigh, outputs=("eigenvalues", "eigenvectors"), cost=costly)
    add("eigvalsh", "t", _eigvalsh, cost=costly)
    add("inv cholesky matrix_exp", "t", _square_matrix, cost=costly)
    add("pinv", "t", _pinv, cost=costly)
    add("det", "t", _det, cost=costly)
    add("solve", "tt", _solve, cost=costly)
    add("matrix_norm", "t", _matrix_norm, cost=costly, order="matrix_order", dims="dims", keepdim="bool")
