"""Operations that act on each element on its own: their dtype and shape rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolve.errors import RecipeError
from evolve.plan.specs import Attributes, Registry, Spec, broadcast, dtype_of, need_float, promote

FLOAT_UNARY = (
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh "
    "sigmoid erf erfc erfinv lgamma digamma reciprocal sinc"
)
NUMERIC_UNARY = "abs neg ceil floor round trunc relu"
PREDICATES = "isnan isinf isfinite signbit logical_not"
COMPARISONS = "lt le gt ge"


def _as_float(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("float32", inputs[0].shape)


def _only_float(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    need_float(name, inputs[0])
    return inputs[0]  # type: ignore[no-any-return]


def _numeric(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if inputs[0].dtype == "bool":
        raise RecipeError(f"{name}: not defined for a bool tensor; convert it with .float()")
    return inputs[0]  # type: ignore[no-any-return]


def _same(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return inputs[0]  # type: ignore[no-any-return]


def _square(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    dtype, shape = inputs[0]
    return Spec("int64" if dtype == "bool" else dtype, shape)


def _predicate(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("bool", inputs[0].shape)


def _bitwise_not(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if inputs[0].dtype == "float32":
        raise RecipeError(f"{name}: ~ needs a bool or int64 tensor, not float32; compare first, as in ~(x > 0)")
    return inputs[0]  # type: ignore[no-any-return]


def _need_tensor(name: str, inputs: Sequence[Any]) -> None:
    if not any(isinstance(operand, Spec) for operand in inputs):
        raise RecipeError(f"{name}: needs at least one tensor")


def _arithmetic(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    left, right = inputs
    # The common case, two float tensors of one shape or a float tensor and a number, decided without loops.
    if isinstance(left, Spec) and left.dtype == "float32":
        if not isinstance(right, Spec) or right.shape == left.shape:
            return left
    elif isinstance(right, Spec) and right.dtype == "float32" and not isinstance(left, Spec):
        return right
    _need_tensor(name, inputs)
    return Spec(promote(inputs), broadcast(name, inputs))


def _sub(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if "bool" in (dtype_of(inputs[0]), dtype_of(inputs[1])):
        raise RecipeError("sub: - is not defined for bool tensors; use ~mask, mask_a ^ mask_b or mask.float()")
    return _arithmetic(name, inputs, attributes)


def _true_division(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _need_tensor(name, inputs)
    return Spec("float32", broadcast(name, inputs))


def _whole_division(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _need_tensor(name, inputs)
    dtype = promote(inputs)
    if dtype == "bool":
        raise RecipeError(f"{name}: not defined for two bool operands; convert them with .float()")
    if dtype == "int64" and not isinstance(inputs[1], Spec) and inputs[1] == 0:
        raise RecipeError(f"{name}: integer division by zero")
    return Spec(dtype, broadcast(name, inputs))


def _trunc_divide(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if promote(inputs) != "float32":
        # Of the smallest integer by -1 the processor's division traps and ends the process.
        raise RecipeError("div: rounding_mode='trunc' needs a float32 operand; convert one with .float()")
    return _whole_division(name, inputs, attributes)


def _pow(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _need_tensor(name, inputs)
    dtype = promote(inputs)
    exponent = inputs[1]
    if dtype == "bool":
        raise RecipeError(f"{name}: not defined for two bool operands; convert them with .float()")
    if dtype == "int64" and not isinstance(exponent, Spec) and exponent < 0:
        raise RecipeError(f"{name}: an integer tensor to the negative power {exponent}; convert it with .float()")
    return Spec(dtype, broadcast(name, inputs))


def _two_floats(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if promote(inputs) != "float32":
        raise RecipeError(f"{name}: needs a float32 tensor; convert the operands with .float()")
    return Spec("float32", broadcast(name, inputs))


def _float_result(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _need_tensor(name, inputs)
    return Spec("float32", broadcast(name, inputs))


def _comparison(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _need_tensor(name, inputs)
    return Spec("bool", broadcast(name, inputs))


def _logical(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec("bool", broadcast(name, inputs))


def _bitwise(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    _need_tensor(name, inputs)
    dtype = promote(inputs)
    if dtype == "float32":
        raise RecipeError(
            f"{name}: & | ^ need bool or int64 operands, not float32; compare first, as in (x > 0) & mask"
        )
    return Spec(dtype, broadcast(name, inputs))


def _where(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    if inputs[0].dtype != "bool":
        raise RecipeError(
            f"where: the condition must be a bool tensor, not {inputs[0].dtype}; compare first, as in x > 0"
        )
    return Spec(promote(inputs[1:]), broadcast(name, inputs))


def _clamp(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    bounds = {isinstance(bound, Spec) for bound in inputs[1:]}
    if len(bounds) > 1:
        raise RecipeError(f"{name}: min and max must both be numbers or both be tensors")
    dtype = promote(inputs)
    if dtype == "bool":
        raise RecipeError(f"{name}: not defined for a bool tensor; convert it with .float()")
    return Spec(dtype, broadcast(name, inputs))


def _all_float(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    for operand in inputs:
        if isinstance(operand, Spec):
            need_float(name, operand)
    return Spec("float32", broadcast(name, inputs))


def _masked_fill(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    tensor, mask, value = inputs
    if mask.dtype != "bool":
        raise RecipeError(f"masked_fill: the mask must be a bool tensor, not {mask.dtype}; compare first, as in x > 0")
    if isinstance(value, Spec) and value.shape:
        raise RecipeError("masked_fill: the value must be a number or a tensor without dimensions; use torch.where")
    if dtype_of(value) == "float32" and tensor.dtype != "float32":
        raise RecipeError(f"masked_fill: a float value into a {tensor.dtype} tensor; convert it with .float()")
    return Spec(tensor.dtype, broadcast(name, (tensor, mask)))


def _cast(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    return Spec(attributes["dtype"], inputs[0].shape)


def register(registry: Registry) -> None:
    """Adds the elementwise operations."""
    add = registry.add
    add(FLOAT_UNARY, "t", _as_float, elementwise=True)
    add(NUMERIC_UNARY, "t", _numeric, elementwise=True)
    add("frac softplus logsigmoid silu", "t", _only_float, elementwise=True)
    add("gelu", "t", _only_float, elementwise=True, approximate="gelu")
    add("sign", "t", _same, elementwise=True)
    add("square", "t", _square, elementwise=True)
    add(PREDICATES, "t", _predicate, elementwise=True)
    add("bitwise_not", "t", _bitwise_not, elementwise=True)
    add("nan_to_num", "tfff", _only_float, elementwise=True)
    add("add mul", "xx", _arithmetic, elementwise=True, commutative=True)
    add("sub", "xx", _sub, elementwise=True)
    add("add_scaled", "ttf", _all_float, elementwise=True)
    add("div", "xx", _true_division, elementwise=True)
    add("trunc_divide", "tx", _trunc_divide, elementwise=True)
    add("floor_divide remainder", "xx", _whole_division, elementwise=True)
    add("fmod", "tx", _whole_division, elementwise=True)
    add("pow", "xx", _pow, elementwise=True)
    add("maximum minimum fmax fmin", "tt", _arithmetic, elementwise=True, commutative=True)
    add("hypot logaddexp logaddexp2", "tt", _two_floats, elementwise=True)
    add("atan2", "tt", _float_result, elementwise=True)
    add("copysign xlogy", "tx", _float_result, elementwise=True)
    add("eq ne", "xx", _comparison, elementwise=True, commutative=True)
    add(COMPARISONS, "tx", _comparison, elementwise=True)
    add("isclose", "ttff", _isclose, elementwise=True)
    add("logical_and logical_or logical_xor", "tt", _logical, elementwise=True, commutative=True)
    add("bitwise_and bitwise_or bitwise_xor", "xx", _bitwise, elementwise=True, commutative=True)
    add("where", "txx", _where, elementwise=True)
    add("clamp", "txx", _clamp, elementwise=True)
    add("clamp_min clamp_max", "tx", _clamp, elementwise=True)
    add("lerp", "ttx", _all_float, elementwise=True)
    add("addcmul addcdiv", "tttf", _all_float, elementwise=True)
    add("masked_fill", "ttx", _masked_fill, elementwise=True)
    add("cast", "t", _cast, elementwise=True, dtype="dtype")


def _isclose(name: str, inputs: Sequence[Any], attributes: Attributes) -> Spec:
    left, right = inputs[:2]
    if left.dtype != right.dtype:
        raise RecipeError(f"isclose: dtypes {left.dtype} and {right.dtype} differ; convert with .float()")
    if min(inputs[2:]) < 0:
        raise RecipeError(f"isclose: the tolerances {list(inputs[2:])} must not be negative")
    return Spec("bool", broadcast(name, (left, right)))
