"""What torch calls on no symbol do while a recipe runs: factories and noise become nodes, or seeded draws eagerly."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evolve.errors import RecipeError, UnsupportedOperation
from evolve.plan import kernels
from evolve.plan.noise import draw
from evolve.recipe import torch_api
from evolve.recipe.graph import CURRENT
from evolve.recipe.symbolic import FUNCTIONS, Symbolic, dispatch
from evolve.recipe.torch_api.creation import FACTORIES
from evolve.recipe.torch_api.reductions import quantiles

# At module level there is no site yet, so small factories make real literals there.
MAX_LITERAL_ELEMENTS = 4096

_RANDOM = {torch.rand, torch.randn}
_RANDOM_LIKE = {
    torch.rand_like, torch.randn_like, torch.bernoulli, torch.Tensor.bernoulli, torch.nn.functional.dropout,
    torch.dropout, }  # fmt: skip
_GLOBAL_RANDOM = {
    getattr(owner, name)
    for owner, name in (
        (torch, "multinomial"), (torch.Tensor, "multinomial"), (torch, "poisson"), (torch.Tensor, "uniform_"),
        (torch.Tensor, "normal_"), (torch.Tensor, "random_"), (torch.Tensor, "bernoulli_"), (torch.Tensor,
        "exponential_"), (torch.Tensor, "cauchy_"), (torch.Tensor, "log_normal_"), (torch.Tensor, "geometric_"),
    )
}  # fmt: skip
_REFUSED = {function for function, handler in FACTORIES.items() if handler.__qualname__.startswith("refuse_factory")}
_FROM_DATA = {torch.tensor, torch.as_tensor, torch.asarray}
# `x += y` reaches torch as x.add_(y). On what a symbol would stand for it rebinds x, so that no donor is ever changed.
_FUNCTIONAL = {
    getattr(torch.Tensor, name): getattr(torch.Tensor, plain)
    for name, plain in (
        ("add_", "add"), ("sub_", "sub"), ("mul_", "mul"), ("div_", "div"), ("pow_", "pow"), ("__ipow__", "pow"),
        ("floor_divide_", "floor_divide"), ("remainder_", "remainder"), ("__iand__", "__and__"), ("__ior__", "__or__"),
        ("__ixor__", "__xor__"),
    )
}  # fmt: skip


def _check_random(func: Any) -> None:
    if func in _GLOBAL_RANDOM:
        name = getattr(func, "__name__", str(func))
        raise UnsupportedOperation(
            f"{name} is not supported in a recipe; draw with torch.rand, torch.randn, torch.rand_like "
            "or torch.bernoulli"
        )


class Tracing(TorchFunctionMode):
    """Sends calls on symbols to their handlers and makes factories nodes of the current site's graph."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if Symbolic in types:
            return dispatch(func, args, kwargs)
        kwargs = kwargs or {}
        if func in FACTORIES:
            if CURRENT.get() is not None or func in _REFUSED:
                return FACTORIES[func](*args, **kwargs)
            _check_module_level(func, args, kwargs)
        elif func in _RANDOM_LIKE:
            if CURRENT.get() is None:
                raise RecipeError("noise is drawn per site; draw it inside merge()")
            return FUNCTIONS[func](*args, **kwargs)
        elif func in _FROM_DATA and _has_symbols(args[0] if args else kwargs.get("data")):
            return torch_api.creation.literal(args[0] if args else kwargs["data"])
        _check_random(func)
        return func(*args, **kwargs)


def _check_module_level(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name = getattr(func, "__name__", str(func))
    if func in _RANDOM:
        raise RecipeError(f"torch.{name}: noise is drawn per site; draw it inside merge()")
    sizes = kwargs.get("size", args[0] if args and isinstance(args[0], (list, tuple)) else args)
    numbers = [abs(size) for size in sizes if isinstance(size, (int, float)) and not isinstance(size, bool)]
    if math.prod(max(number, 1) for number in numbers) > MAX_LITERAL_ELEMENTS**2:
        raise RecipeError(f"torch.{name}: large tensors are made inside merge(), where they are part of the plan")


def _has_symbols(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_has_symbols(item) for item in data)
    return isinstance(data, Symbolic)


class Eager(TorchFunctionMode):
    """Real tensors with the plan's noise: draws are counted and seeded per site, as in tracing."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.draws = 0
        self.site_name: str | None = None
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves torch alone inside the block, for what is not the recipe's own code."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def begin(self, site_name: str, seed: int) -> None:
        """Starts a site: its draws count from zero."""
        self.site_name, self.seed, self.draws = site_name, seed, 0

    def set_seed(self, seed: int) -> None:
        self.seed, self.draws = seed, 0

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        symbolic = any(map(_is_symbolic, (*args, *kwargs.values()))) or (
            func in FACTORIES and self.site_name is not None
        )
        result = _total(func, args, kwargs) if symbolic and func in _WHOLE else None
        if result is None:
            result = self._call(_FUNCTIONAL.get(func, func) if symbolic else func, args, kwargs)
        if symbolic or func in _RANDOM_LIKE:
            mark_symbolic(result)
        return result

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in _RANDOM:
            size = kwargs.get("size", args[0] if args and isinstance(args[0], (list, tuple)) else args)
            return self._draw("uniform" if func is torch.rand else "normal", tuple(size))
        if func in _RANDOM_LIKE:
            return self._random_like(func, *args, **kwargs)
        if func in (torch.quantile, torch.Tensor.quantile):
            return _quantile(*args, **kwargs)
        if func in _REFUSED:
            return FACTORIES[func](*args, **kwargs)
        _check_random(func)
        return func(*args, **kwargs)

    def _draw(self, distribution: str, shape: tuple[int, ...], device: Any = "cpu") -> Tensor:
        if self.site_name is None:
            raise RecipeError("noise is drawn per site; draw it inside merge()")
        index, self.draws = self.draws, self.draws + 1
        return draw(distribution, self.seed, self.site_name, index, shape, device)

    def _random_like(self, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shape, device = tuple(input.shape), input.device
        if func in (torch.rand_like, torch.randn_like):
            return self._draw("uniform" if func is torch.rand_like else "normal", shape, device)
        if func in (torch.bernoulli, torch.Tensor.bernoulli):
            p = args[0] if args else kwargs.get("p")
            return (self._draw("uniform", shape, device) < (input if p is None else p)).float()
        p = args[0] if args else kwargs.get("p", 0.5)
        active = args[1] if len(args) > 1 else kwargs.get("training", kwargs.get("train", True))
        if not active or p == 0:
            return input
        return torch.where(self._draw("uniform", shape, device) >= p, input / (1 - p), 0.0)


def _total(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """A sum, mean or 2-norm over a whole tensor as plans compute it; None for any other call, which is torch's."""
    if kwargs.get("dtype") not in (None, torch.float32) or not _TOTAL_ARGUMENTS.issuperset(kwargs):
        return None
    return _WHOLE[func](*args, **{name: value for name, value in kwargs.items() if name != "dtype"})


def _over_all(whole: Callable[[Tensor], Tensor], tensor: Tensor, dim: Any, keepdim: bool, *more: Any) -> Tensor | None:
    """``whole(tensor)`` when the dimensions are all of them; ``more`` are torch.norm's rarely given arguments."""
    if any(item not in (None, torch.float32) for item in more):
        return None
    given = () if dim is None else dim if isinstance(dim, (list, tuple)) else (dim,)
    positions = [operator.index(item) for item in given]
    dims = {position % max(tensor.ndim, 1) for position in positions}
    if len(dims) < len(positions) or any(not -tensor.ndim <= position < tensor.ndim for position in positions):
        return None
    return whole(tensor) if kernels.is_total(tensor, tuple(dims) or None, keepdim) else None


def _sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Tensor | None:
    return _over_all(kernels.total_sum, input, dim if axis is None else axis, keepdim)


def _mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Tensor | None:
    return _over_all(kernels.total_mean, input, dim if axis is None else axis, keepdim)


def _norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, *more: Any) -> Tensor | None:
    return _over_all(kernels.total_norm, input, dim, keepdim, *more) if p in ("fro", None, 2) else None


def _vector_norm(input: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor | None:
    return _over_all(kernels.total_norm, input, dim, keepdim) if ord == 2 else None


def _linalg_norm(input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Tensor | None:
    of_matrix = ord is not None and input.ndim != 1
    return None if of_matrix else _vector_norm(input, 2 if ord is None else ord, dim, keepdim)


def _dist(input: Tensor, other: Tensor, p: Any = 2) -> Tensor | None:
    return _over_all(kernels.total_norm, input - other, None, False) if p == 2 else None


_WHOLE: dict[Any, Callable[..., Tensor | None]] = {
    torch.sum: _sum, torch.Tensor.sum: _sum, torch.mean: _mean, torch.Tensor.mean: _mean, torch.norm: _norm,
    torch.Tensor.norm: _norm, torch.linalg.vector_norm: _vector_norm, torch.linalg.norm: _linalg_norm,
    torch.dist: _dist, torch.Tensor.dist: _dist,
}  # fmt: skip
_TOTAL_ARGUMENTS = {"input", "self", "other", "dim", "axis", "keepdim", "p", "ord", "dtype"}


def _quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    return quantiles(q, lambda one: kernels.quantile(input, one, dim, keepdim, interpolation), torch.stack)


def _is_symbolic(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_symbolic, value))
    return getattr(value, "_symbolic", False) is True


def mark_symbolic(result: Any) -> None:
    """Marks real tensors that tracing would have as symbols: donors, what factories make, and all computed from
    them.
    """
    if isinstance(result, (list, tuple)):
        for part in result:
            mark_symbolic(part)
    elif isinstance(result, Tensor):
        result._symbolic = True  # type: ignore[attr-defined]
