"""Torch calls of linear algebra."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any, NamedTuple

from evolve.errors import ShapeMismatch
from evolve.plan.specs import show
from evolve.recipe.symbolic import Symbolic, supports
from evolve.recipe.torch_api.arguments import emit, flag, results, symbol


class SVD(NamedTuple):
    """What torch.linalg.svd returns."""

    U: Any
    S: Any
    Vh: Any


class OldSVD(NamedTuple):
    """What torch.svd returns: V itself, not its transpose."""

    U: Any
    S: Any
    V: Any


class QR(NamedTuple):
    """What torch.linalg.qr returns."""

    Q: Any
    R: Any


class Eigen(NamedTuple):
    """What torch.linalg.eigh returns."""

    eigenvalues: Any
    eigenvectors: Any


@supports("matmul", "linalg.matmul", "Tensor.__matmul__")
def matmul(input: Any, other: Any) -> Symbolic:
    return emit("matmul", input, other)


def _strict_matmul(name: str, left_dimensions: int, right_dimensions: int) -> Callable[..., Symbolic]:
    def handler(input: Any, other: Any) -> Symbolic:
        left, right = symbol(input, name), symbol(other, name)
        if (left.ndim, right.ndim) != (left_dimensions, right_dimensions):
            raise ShapeMismatch(
                f"{name}: shapes {show(left.shape)} and {show(right.shape)} must have {left_dimensions} and "
                f"{right_dimensions} dimensions; use @"
            )
        return emit("matmul", left, right)

    return handler


for _name, _ranks in {"mm": (2, 2), "mv": (2, 1), "bmm": (3, 3), "dot": (1, 1)}.items():
    supports(_name)(_strict_matmul(_name, *_ranks))


@supports("Tensor.__rmatmul__")
def rmatmul(input: Any, other: Any) -> Symbolic:
    return emit("matmul", other, input)


@supports("outer", "ger")
def outer(input: Any, vec2: Any) -> Symbolic:
    return emit("outer", input, vec2)


@supports("einsum")
def einsum(equation: Any, *operands: Any) -> Symbolic:
    """Explicit and implicit equations; an implicit output is the letters that occur once, sorted."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    text = "".join(str(equation).split())
    if "->" not in text:
        letters = text.replace(",", "")
        text += "->" + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return emit("einsum", *operands, equation=_renamed(text))


def _renamed(equation: str) -> str:
    """The equation with its letters renamed in their order, so that names do not matter; torch sums in that order."""
    letters = sorted({character for character in equation if character in string.ascii_letters})
    names = dict(zip(letters, string.ascii_letters, strict=False))
    return "".join(names.get(character, character) for character in equation)


@supports("linalg.svd")
def svd(A: Any, full_matrices: Any = True) -> Any:
    return SVD(*results("svd", 3, symbol(A, "svd"), full_matrices=flag(full_matrices, "svd")))


@supports("svd")
def old_svd(input: Any, some: Any = True, compute_uv: Any = True) -> Any:
    left, values, right = svd(input, not flag(some, "svd"))
    return OldSVD(left, values, right.mT)


@supports("linalg.qr")
def qr(A: Any, mode: str = "reduced") -> Any:
    return QR(*results("qr", 2, symbol(A, "qr"), mode=mode))


@supports("qr")
def old_qr(input: Any, some: Any = True) -> Any:
    return qr(input, "reduced" if flag(some, "qr") else "complete")


@supports("linalg.eigh")
def eigh(A: Any) -> Any:
    return Eigen(*results("eigh", 2, symbol(A, "eigh")))


@supports("linalg.solve")
def solve(A: Any, B: Any) -> Symbolic:
    return emit("solve", A, B)


supports("linalg.svdvals")(lambda A: emit("svdvals", A))
supports("linalg.eigvalsh")(lambda A: emit("eigvalsh", A))
supports("linalg.inv", "inverse")(lambda A: emit("inv", A))
supports("linalg.pinv", "pinverse")(lambda A: emit("pinv", A))
supports("linalg.cholesky", "cholesky")(lambda A: emit("cholesky", A))
supports("linalg.det", "det")(lambda A: emit("det", A))
supports("linalg.matrix_exp", "matrix_exp")(lambda A: emit("matrix_exp", A))


@supports("trace")
def trace(input: Any) -> Symbolic:
    matrix = symbol(input, "trace")
    if matrix.ndim != 2:
        raise ShapeMismatch(f"trace: needs a matrix, the tensor has shape {show(matrix.shape)}")
    return emit("trace", matrix)
