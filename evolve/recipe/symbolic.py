"""The stand-in for a tensor while a recipe is traced: it has a dtype and a shape, and no values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch

from evolve.errors import RecipeError, UnsupportedOperation, ValueDependence
from evolve.plan.specs import show

if TYPE_CHECKING:
    from evolve.plan.specs import Spec
    from evolve.recipe.graph import Graph

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""Handler of each supported torch callable."""
METHODS: dict[str, Callable[..., Any]] = {}
"""Handler of each supported tensor method."""

DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}

VALUE_ADVICE = {
    "item": "keep it a tensor without dimensions and go on computing with it",
    "tolist": "keep it a tensor and go on computing with it",
    "numpy": "use torch functions",
    "nonzero": "use torch.where(mask, a, b)",
    "argwhere": "use torch.where(mask, a, b)",
    "masked_select": "use torch.where(mask, x, 0) or torch.kthvalue for order statistics",
    "unique": "its shape depends on values; use torch.sort",
    "unique_consecutive": "its shape depends on values; use torch.sort",
    "equal": "use (a == b).all() as a tensor with torch.where",
    "allclose": "use torch.isclose(a, b).all() as a tensor with torch.where",
    "bincount": "its shape depends on values",
    "is_nonzero": "use torch.where(condition, a, b)",
}


def depends_on_values(what: str, advice: str) -> NoReturn:
    """Raises ValueDependence: tensors have no values while a recipe is traced."""
    raise ValueDependence(
        f"{what} needs the values of a tensor, which a recipe cannot see while it is traced; {advice}"
    )


def unsupported(name: str) -> NoReturn:
    """Raises the error for a torch function or method outside the allow-list, naming the nearest supported ones."""
    plain = name.rsplit(".", 1)[-1]
    if plain in VALUE_ADVICE:
        depends_on_values(name, VALUE_ADVICE[plain])
    if plain.endswith("_") and not plain.startswith("_"):
        functional = plain.rstrip("_")
        kept = f"write x = x.{functional}(...)" if functional in METHODS else "use a function that returns a new tensor"
        raise UnsupportedOperation(f"{name} changes a tensor in place, which recipes cannot; {kept}")
    near = difflib.get_close_matches(plain, supported_names(), n=3, cutoff=0.5)
    hint = f"nearest supported: {', '.join(near)}" if near else "build it from elementwise operations and reductions"
    raise UnsupportedOperation(f"{name} is not supported in a recipe; {hint}")


def supported_names() -> list[str]:
    """Names of all supported functions and methods."""
    named = {getattr(function, "__name__", "") for function in FUNCTIONS}
    return sorted(name for name in named | METHODS.keys() if name and not name.startswith("_"))


def dispatch(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """Runs the handler of a torch callable on symbols."""
    handler = FUNCTIONS.get(function)
    if handler is None:
        unsupported(_name_of(function))
    return handler(*args, **(kwargs or {}))


def _name_of(function: Any) -> str:
    if getattr(function, "__name__", "") == "__get__":
        function = function.__self__
    name: str = getattr(function, "__name__", str(function))
    module = getattr(function, "__module__", None) or "torch.Tensor"
    prefix = {"torch._C._linalg": "torch.linalg", "torch.functional": "torch", "torch._C._nn": "torch.nn.functional"}
    name = name.removeprefix("linalg_") if module == "torch._C._linalg" else name
    return f"{prefix.get(module, module)}.{name}"


class Symbolic:
    """A tensor of a traced recipe: a node of a site's graph. Its methods and operators are those of METHODS."""

    __slots__ = ("_graph", "_index", "_spec")
    # numpy scalars on the left of an operator leave the operation to this class.
    __array_ufunc__ = None

    def __init__(self, graph: Graph, index: int, spec: Spec) -> None:
        self._graph = graph
        self._index = index
        self._spec = spec

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in METHODS and not hasattr(torch.Tensor, name):
            raise RecipeError(f"tensors have no attribute {name!r}", kind="AttributeError")
        unsupported(f"Tensor.{name}")

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self._spec.shape)

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self._spec.dtype]

    @property
    def ndim(self) -> int:
        return len(self._spec.shape)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def requires_grad(self) -> bool:
        return False

    @property
    def is_cuda(self) -> bool:
        return False

    @property
    def data(self) -> Symbolic:
        return self

    @property
    def T(self) -> Any:
        return METHODS["permute"](self, *reversed(range(self.ndim)))

    @property
    def mT(self) -> Any:
        return METHODS["transpose"](self, -2, -1)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return self.ndim

    def numel(self) -> int:
        return self._spec.size

    nelement = numel
    ndimension = dim

    def is_floating_point(self) -> bool:
        return self._spec.dtype == "float32"

    def is_contiguous(self) -> bool:
        return True

    def __len__(self) -> int:
        if not self._spec.shape:
            raise RecipeError("len() of a tensor without dimensions", kind="TypeError")
        return self._spec.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(METHODS["unbind"](self))

    def __repr__(self) -> str:
        return f"tensor of site {self._graph.site.name!r}, shape {show(self._spec.shape)}, {self._spec.dtype}"

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:  # noqa: PLE0304  (never returns)
        depends_on_values("`if`, `and`, `or`, `not` or a comparison chain", "use torch.where(condition, a, b)")

    def __float__(self) -> float:
        depends_on_values(
            "float()", "keep it a tensor (0-dim tensors multiply and add like numbers; torch.stack joins them)"
        )

    def __int__(self) -> int:
        depends_on_values("int()", "use a Python number from site.shape, site.depth or a knob")

    def __index__(self) -> int:  # noqa: PLE0305  (never returns)
        depends_on_values("an index or a count", "use a Python number from site.shape, site.depth or a knob")

    def __complex__(self) -> complex:
        depends_on_values("complex()", "keep it a tensor")

    def __format__(self, spec: str) -> str:
        if spec:
            depends_on_values("formatting with digits", "print its shape instead")
        return repr(self)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        depends_on_values("numpy", "use torch functions")

    def __contains__(self, item: object) -> bool:
        depends_on_values("`in`", "use (x == value).any() as a tensor with torch.where")

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise UnsupportedOperation(
            "x[index] = value changes a tensor in place, which recipes cannot; use x = torch.where(mask, value, x), "
            "x.masked_fill(mask, value), x.scatter(dim, index, value) or torch.cat"
        )

    def __copy__(self) -> Symbolic:
        return self

    def __deepcopy__(self, memo: object) -> Symbolic:
        return self


Handler = TypeVar("Handler", bound=Callable[..., Any])


def supports(*names: str) -> Callable[[Handler], Handler]:
    """Registers a handler for torch callables and methods.

    ``"sum"`` stands for ``torch.sum`` and ``Tensor.sum``, ``"Tensor.view"`` for the method alone, a dotted name such as
    ``"linalg.svd"`` for the function alone.
    """

    def register(handler: Handler) -> Handler:
        if "<" in handler.__qualname__:
            # Python's own messages about wrong arguments print this name.
            handler.__name__ = handler.__qualname__ = names[0].rpartition(".")[2]
        for name in names:
            owner, _, attribute = name.rpartition(".")
            if owner != "Tensor":
                function: Any = torch
                for part in name.split("."):
                    function = getattr(function, part, None)
                if function is not None:
                    FUNCTIONS[function] = handler
            if owner in ("", "Tensor") and hasattr(torch.Tensor, attribute):
                FUNCTIONS[getattr(torch.Tensor, attribute)] = handler
                METHODS[attribute] = handler
                if attribute not in Symbolic.__dict__:
                    setattr(Symbolic, attribute, handler)
        return handler

    return register
