"""Torch calls that make tensors: nodes of the plan, never memory; random ones are seeded draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from evolve.errors import RecipeError, UnsupportedOperation
from evolve.plan.layout import arange_length
from evolve.plan.specs import dtype_of
from evolve.recipe.graph import TORCH_DTYPES, current, plain_number
from evolve.recipe.symbolic import Handler, Symbolic, depends_on_values, supports
from evolve.recipe.torch_api.arguments import emit, integer, integers, own_or, symbol

FACTORIES: dict[Any, Callable[..., Any]] = {}
"""Handlers of torch functions that make tensors from numbers alone."""

IGNORED = {"device", "requires_grad", "layout", "pin_memory", "memory_format"}


def factory(*names: str) -> Callable[[Handler], Handler]:
    """Registers a handler for functions of torch that take no tensor."""

    def register(handler: Handler) -> Handler:
        for name in names:
            FACTORIES[getattr(torch, name)] = handler
        return handler

    return register


def _dtype(options: dict[str, Any], default: str | None, where: str) -> str | None:
    """The dtype among a factory's options; refuses what has no meaning in a recipe."""
    dtype = options.pop("dtype", None)
    for name in options:
        if name == "generator":
            raise UnsupportedOperation(
                f"{where}: generators are not supported; use torch.manual_seed, noise is seeded per site"
            )
        if name not in IGNORED:
            raise RecipeError(f"{where}: unknown argument {name!r}", kind="TypeError")
    if dtype is None:
        return default
    if dtype not in TORCH_DTYPES:
        raise RecipeError(f"{where}: {dtype} is not available; recipes compute in torch.float32")
    return TORCH_DTYPES[dtype]


def full_node(shape: tuple[int, ...], value: Any, dtype: str | None) -> Symbolic:
    """A tensor of one number."""
    number = plain_number(value, "full")
    dtype = dtype or dtype_of(number)
    if dtype == "float32":
        number = float(number)
    return emit("full", number, shape=own_or(shape), dtype=dtype)


def _sizes(size: tuple[Any, ...], options: dict[str, Any], where: str) -> tuple[int, ...]:
    return integers((options.pop("size"),) if "size" in options else size, where)


@factory("zeros")
def zeros(*size: Any, **options: Any) -> Symbolic:
    shape = _sizes(size, options, "zeros")
    return full_node(shape, 0.0, _dtype(options, "float32", "zeros"))


@factory("ones")
def ones(*size: Any, **options: Any) -> Symbolic:
    shape = _sizes(size, options, "ones")
    return full_node(shape, 1.0, _dtype(options, "float32", "ones"))


@factory("full")
def full(size: Any, fill_value: Any, **options: Any) -> Symbolic:
    dtype = _dtype(options, None, "full")
    if isinstance(fill_value, (Symbolic, torch.Tensor)):
        return emit("expand", symbol(fill_value, "full"), shape=own_or(integers((size,), "full")))
    return full_node(integers((size,), "full"), fill_value, dtype)


@factory("eye")
def eye(n: Any, m: Any = None, **options: Any) -> Symbolic:
    rows = integer(n, "eye")
    columns = rows if m is None else integer(m, "eye")
    return emit("eye", rows=rows, columns=columns, dtype=_dtype(options, "float32", "eye"))


@factory("linspace")
def linspace(start: Any, end: Any, steps: Any, **options: Any) -> Symbolic:
    if _dtype(options, "float32", "linspace") != "float32":
        raise RecipeError("linspace: only float32 is available")
    return emit("linspace", start, end, steps=integer(steps, "linspace"))


@factory("arange")
def arange(*bounds: Any, **options: Any) -> Symbolic:
    named: dict[str, Any] = {
        "start": 0,
        "step": 1,
        **{name: options.pop(name) for name in ("start", "end", "step") if name in options},
    }
    order = ["end"] if len(bounds) == 1 else ["start", "end", "step"]
    named.update(zip(order, bounds, strict=False))
    if "end" not in named:
        raise RecipeError("arange: give the end")
    start, end, step = (plain_number(named[name], "arange") for name in ("start", "end", "step"))
    kinds = {dtype_of(number) for number in (start, end, step)}
    dtype = _dtype(options, "float32" if "float32" in kinds else "int64", "arange")
    arange_length(start, end, step)
    return emit("arange", start, end, step, dtype=dtype)


@factory("rand")
def rand(*size: Any, **options: Any) -> Symbolic:
    shape = _sizes(size, options, "rand")
    return _noise("uniform", shape, options, "rand")


@factory("randn")
def randn(*size: Any, **options: Any) -> Symbolic:
    shape = _sizes(size, options, "randn")
    return _noise("normal", shape, options, "randn")


def _noise(distribution: str, shape: tuple[int, ...], options: dict[str, Any], where: str) -> Symbolic:
    if _dtype(options, "float32", where) != "float32":
        raise RecipeError(f"{where}: only float32 is available")
    return current().noise(distribution, shape)


supports("rand_like")(lambda input, **options: _noise("uniform", tuple(input.shape), options, "rand_like"))
supports("randn_like")(lambda input, **options: _noise("normal", tuple(input.shape), options, "randn_like"))


@supports("bernoulli")
def bernoulli(input: Any, p: Any = None, *, generator: Any = None) -> Symbolic:
    """1 with the probability given by ``p`` or by the elements of ``input``: a uniform draw below it."""
    if generator is not None:
        _dtype({"generator": generator}, None, "bernoulli")
    tensor = symbol(input, "bernoulli")
    draw = current().noise("uniform", tensor._spec.shape)
    return emit("cast", emit("lt", draw, tensor if p is None else p), dtype="float32")


@supports("nn.functional.dropout", "dropout")
def dropout(input: Any, p: Any = 0.5, training: Any = True, train: Any = True, inplace: Any = False) -> Symbolic:
    """Zero with probability p, the rest divided by 1 - p."""
    tensor = symbol(input, "dropout")
    if not (training and train) or p == 0:
        return tensor
    if not 0 <= p < 1:
        raise RecipeError(f"dropout: p = {p} is outside 0..1 (1 excluded)")
    kept = emit("ge", current().noise("uniform", tensor._spec.shape), p)
    return emit("where", kept, emit("div", tensor, 1 - p), 0.0)


def _like(name: str, value: float) -> None:
    def handler(input: Any, **options: Any) -> Symbolic:
        return full_node(tuple(input.shape), value, _dtype(options, TORCH_DTYPES[input.dtype], name))

    supports(name)(handler)


_like("zeros_like", 0.0)
_like("ones_like", 1.0)


@supports("full_like")
def full_like(input: Any, fill_value: Any, **options: Any) -> Symbolic:
    dtype = _dtype(options, TORCH_DTYPES[input.dtype], "full_like")
    if isinstance(fill_value, (Symbolic, torch.Tensor)):
        return emit("expand", symbol(fill_value, "full_like"), shape=own_or(tuple(input.shape)))
    return full_node(tuple(input.shape), fill_value, dtype)


supports("Tensor.new_zeros")(lambda self, *size, **options: zeros(*size, **{"dtype": self.dtype, **options}))
supports("Tensor.new_ones")(lambda self, *size, **options: ones(*size, **{"dtype": self.dtype, **options}))
supports("Tensor.new_full")(
    lambda self, size, fill_value, **options: full(size, fill_value, **{"dtype": self.dtype, **options})
)
supports("Tensor.new_tensor")(lambda self, data, **options: symbol(torch.tensor(data, dtype=self.dtype), "new_tensor"))


def refuse_factory(name: str, advice: str) -> Callable[..., Any]:
    def handler(*args: Any, **options: Any) -> Any:
        raise UnsupportedOperation(f"torch.{name} is not supported in a recipe; {advice}")

    return handler


for _name, _advice in {
    "empty": "use torch.zeros",
    "empty_like": "use torch.zeros_like",
    "randint": "use torch.rand and compare",
    "randint_like": "use torch.rand_like and compare",
    "randperm": "use torch.argsort(torch.rand(n))",
    "normal": "use torch.randn",
    "logspace": "use torch.linspace and torch.pow",
}.items():
    _refusal = refuse_factory(_name, _advice)
    FACTORIES[getattr(torch, _name)] = _refusal
    supports(_name)(_refusal)


def literal(data: Any, *args: Any, **options: Any) -> Any:
    """``torch.tensor`` of symbols: their values do not exist, so they can only be stacked."""
    if not isinstance(data, Symbolic):
        depends_on_values("torch.tensor([...]) of tensors", "join them with torch.stack")
    return data
