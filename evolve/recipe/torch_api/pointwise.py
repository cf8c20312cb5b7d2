"""Elementwise torch calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from evolve.errors import RecipeError, UnsupportedOperation
from evolve.plan import elementwise
from evolve.recipe.graph import current
from evolve.recipe.symbolic import Symbolic, supports
from evolve.recipe.torch_api.arguments import emit, symbol

MOST_FLOAT = 3.4028234663852886e38

_SPECIAL = {"erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "sigmoid": "expit", "exp2": "exp2", "expm1": "expm1"}
_SPECIAL |= {"log1p": "log1p", "lgamma": "gammaln", "digamma": "digamma", "sinc": "sinc"}
_ALIASES = {
    "abs": ("absolute", "Tensor.__abs__"),
    "neg": ("negative", "Tensor.__neg__"),
    "trunc": ("fix",),
    "sign": ("sgn",),
    "asin": ("arcsin",), "acos": ("arccos",), "atan": ("arctan",),
    "asinh": ("arcsinh",), "acosh": ("arccosh",), "atanh": ("arctanh",),
    "sigmoid": ("nn.functional.sigmoid",),
    "tanh": ("nn.functional.tanh",),
    "maximum": (), "atan2": ("arctan2",),
    "eq": ("Tensor.__eq__",), "ne": ("not_equal", "Tensor.__ne__"),
    "lt": ("less", "Tensor.__lt__"), "le": ("less_equal", "Tensor.__le__"),
    "gt": ("greater", "Tensor.__gt__"), "ge": ("greater_equal", "Tensor.__ge__"),
    "mul": ("multiply", "Tensor.__mul__", "Tensor.__rmul__"),
    "floor_divide": ("Tensor.__floordiv__",),
    "remainder": ("Tensor.__mod__",),
    "pow": ("Tensor.__pow__",),
}  # fmt: skip


def _unary(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any) -> Symbolic:
        return current().add(name, (input,), {})

    handler.__name__ = name
    return handler


def _activation(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, inplace: bool = False) -> Symbolic:
        _refuse_inplace(inplace, name)
        return emit(name, input)

    return handler


def _refuse_inplace(inplace: bool, name: str) -> None:
    if inplace:
        raise UnsupportedOperation(f"{name}: inplace=True changes a tensor, which recipes cannot; leave it out")


def _binary(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, other: Any) -> Symbolic:
        return current().add(name, (input, other), {})

    handler.__name__ = name
    return handler


def _register_plain() -> None:
    unary = f"{elementwise.FLOAT_UNARY} {elementwise.NUMERIC_UNARY} {elementwise.PREDICATES} frac sign square".split()
    for name in unary:
        special = (f"special.{_SPECIAL[name]}",) if name in _SPECIAL else ()
        supports(name, *special, *_ALIASES.get(name, ()))(_unary(name))
    for name in ("softplus", "logsigmoid"):
        supports(f"nn.functional.{name}")(_unary(name))
    for name in ("relu", "silu"):
        supports(f"nn.functional.{name}")(_activation(name))
    binary = (
        "maximum minimum fmax fmin hypot logaddexp logaddexp2 atan2 copysign xlogy floor_divide remainder fmod pow mul"
    )
    for name in f"{binary} logical_and logical_or logical_xor".split():
        supports(name, *_ALIASES.get(name, ()))(_binary(name))


_register_plain()


def _comparison(name: str) -> Callable[..., Any]:
    def handler(input: Any, other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented
        return current().add(name, (input, other), {})

    handler.__name__ = name
    return handler


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _handler = _comparison(_name)
    supports(_name, *_ALIASES[_name])(_handler)
    setattr(Symbolic, f"__{_name}__", _handler)


def _reflected(name: str) -> Callable[..., Symbolic]:
    def handler(input: Any, other: Any) -> Symbolic:
        return current().add(name, (other, input), {})

    handler.__name__ = f"r{name}"
    return handler


@supports("add", "Tensor.__add__", "Tensor.__radd__")
def add(input: Any, other: Any, *, alpha: Any = 1) -> Symbolic:
    if alpha == 1:
        return current().add("add", (input, other), {})
    return emit("add_scaled", input, symbol(other, "add with alpha"), alpha)


@supports("sub", "subtract", "Tensor.__sub__")
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Symbolic:
    if alpha == 1:
        return current().add("sub", (input, other), {})
    return emit("add_scaled", input, symbol(other, "sub with alpha"), -alpha)


@supports("div", "divide", "Tensor.__truediv__", "Tensor.__div__")
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Symbolic:
    names = {None: "div", "floor": "floor_divide", "trunc": "trunc_divide"}
    if rounding_mode not in names:
        raise RecipeError(f"div: rounding_mode {rounding_mode!r} is none of None, 'floor', 'trunc'")
    return current().add(names[rounding_mode], (input, other), {})


supports("true_divide")(_binary("div"))
supports("rsub", "Tensor.__rsub__")(_reflected("sub"))
supports("Tensor.__rtruediv__", "Tensor.__rdiv__")(_reflected("div"))
supports("Tensor.__rpow__")(_reflected("pow"))
supports("Tensor.__rfloordiv__")(_reflected("floor_divide"))
supports("Tensor.__rmod__")(_reflected("remainder"))


def _bits(bitwise: str, logical: str) -> Callable[..., Symbolic]:
    """& | ^ : on two bool tensors the logical operation, so that both spellings are one plan."""

    def handler(input: Any, other: Any) -> Symbolic:
        both = all(isinstance(operand, (Symbolic, torch.Tensor)) for operand in (input, other))
        if both and input.dtype == other.dtype == torch.bool:
            return emit(logical, input, other)
        return emit(bitwise, input, other)

    handler.__name__ = bitwise
    return handler


for _word in ("and", "or", "xor"):
    supports(f"bitwise_{_word}", f"Tensor.__{_word}__", f"Tensor.__r{_word}__")(
        _bits(f"bitwise_{_word}", f"logical_{_word}")
    )


@supports("bitwise_not", "Tensor.__invert__")
def bitwise_not(input: Any) -> Symbolic:
    tensor = symbol(input, "~")
    return emit("logical_not" if tensor._spec.dtype == "bool" else "bitwise_not", tensor)


@supports("positive", "Tensor.__pos__")
def positive(input: Any) -> Symbolic:
    tensor = symbol(input, "positive")
    if tensor._spec.dtype == "bool":
        raise RecipeError("positive: + is not defined for a bool tensor; convert it with .float()")
    return tensor


@supports("detach", "Tensor.cpu")
def identity(input: Any) -> Symbolic:
    return symbol(input, "detach")


def _copy(name: str) -> Callable[..., Symbolic]:
    """A copy changes the layout of some views, and with it how later sums round; of other tensors it is the tensor."""

    def handler(input: Any, *, memory_format: Any = None) -> Symbolic:
        tensor = symbol(input, name)
        return tensor if current().is_contiguous(tensor) else emit(name, tensor)

    return handler


supports("clone")(_copy("clone"))
supports("Tensor.contiguous")(_copy("contiguous"))


@supports("where", "Tensor.where")
def where(condition: Any, input: Any = None, other: Any = None) -> Symbolic:
    if input is None or other is None:
        raise RecipeError("where: give three arguments, torch.where(condition, a, b); positions depend on values")
    if isinstance(condition, Symbolic):
        return current().add("where", (condition, input, other), {})
    return emit("where", symbol(condition, "where"), input, other)


def where_method(input: Any, condition: Any, other: Any) -> Any:
    """``x.where(condition, y)`` keeps x where the condition holds."""
    return where(condition, input, other)


supports("Tensor.where")(where_method)
setattr(Symbolic, "where", where_method)  # noqa: B010  (mypy: the class has no such attribute)


@supports("clamp", "clip")
def clamp(input: Any, min: Any = None, max: Any = None) -> Symbolic:
    if min is None and max is None:
        raise RecipeError("clamp: give min, max or both")
    if max is None:
        return emit("clamp_min", input, min)
    if min is None:
        return emit("clamp_max", input, max)
    return emit("clamp", input, min, max)


supports("clamp_min")(lambda input, min: emit("clamp_min", input, min))
supports("clamp_max")(lambda input, max: emit("clamp_max", input, max))


@supports("lerp")
def lerp(input: Any, end: Any, weight: Any) -> Symbolic:
    return emit("lerp", input, end, weight)


@supports("addcmul")
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1.0) -> Symbolic:
    return emit("addcmul", input, tensor1, tensor2, float(value))


@supports("addcdiv")
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1.0) -> Symbolic:
    return emit("addcdiv", input, tensor1, tensor2, float(value))


@supports("masked_fill")
def masked_fill(input: Any, mask: Any, value: Any) -> Symbolic:
    return emit("masked_fill", input, mask, value)


@supports("nan_to_num")
def nan_to_num(input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Symbolic:
    highest = MOST_FLOAT if posinf is None else posinf
    return emit("nan_to_num", input, 0.0 if nan is None else nan, highest, -MOST_FLOAT if neginf is None else neginf)


@supports("isclose")
def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08) -> Symbolic:
    return emit("isclose", input, other, rtol, atol)


@supports("nn.functional.gelu")
def gelu(input: Any, *, approximate: str = "none") -> Symbolic:
    return emit("gelu", input, approximate=approximate)


def cast(input: Any, dtype: torch.dtype, where: str = "to") -> Symbolic:
    """Conversion among float32, int64 and bool; the same dtype is the tensor itself."""
    tensor = symbol(input, where)
    names = {torch.float32: "float32", torch.int64: "int64", torch.bool: "bool"}
    if dtype not in names:
        hint = (
            "recipes compute in torch.float32 and the result is rounded once"
            if dtype.is_floating_point
            else "use .long()"
        )
        raise RecipeError(f"{where}: {dtype} is not available; {hint}")
    return tensor if names[dtype] == tensor._spec.dtype else emit("cast", tensor, dtype=names[dtype])


def _caster(method: str, dtype: torch.dtype) -> None:
    supports(f"Tensor.{method}")(lambda input: cast(input, dtype, method))


for _method, _dtype in {
    "float": torch.float32, "bool": torch.bool, "long": torch.int64, "double": torch.float64, "half": torch.float16,
    "bfloat16": torch.bfloat16, "int": torch.int32, "short": torch.int16, "char": torch.int8, "byte": torch.uint8,
}.items():  # fmt: skip
    _caster(_method, _dtype)


@supports("Tensor.to", "Tensor.type")
def to(input: Any, *args: Any, **kwargs: Any) -> Symbolic:
    """``.to(dtype)``, ``.to(device)``, ``.to(other)``: devices are the executor's business and ignored."""
    tensor = symbol(input, "to")
    for argument in (*args, kwargs.get("dtype"), kwargs.get("other")):
        if isinstance(argument, (Symbolic, torch.Tensor)):
            argument = argument.dtype
        if isinstance(argument, torch.dtype):
            return cast(tensor, argument)
    return tensor


@supports("Tensor.type_as")
def type_as(input: Any, other: Any) -> Symbolic:
    return cast(input, other.dtype, "type_as")


supports("numel")(lambda input: input.numel())
supports("is_floating_point")(lambda input: input.is_floating_point())


@supports("nn.functional.threshold")
def threshold(input: Any, threshold: Any, value: Any, inplace: bool = False) -> Symbolic:
    _refuse_inplace(inplace, "threshold")
    return emit("where", emit("gt", input, threshold), input, value)
