"""What a recipe does, as numbers that programs of any structure share: how much of each donor goes into each site."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from evolve.gaussian import Vector
from evolve.propose.mutator.interpreter import Interpreter, Unsupported
from evolve.propose.mutator.space import Space

PLACES = 6
"""Most layers at which a recipe is looked at."""

MAX_REMEMBERED = 4096

_BY_ROLE = ("role", "name", "shape", "kind")
"""A recipe without these words treats all roles of a block alike."""

_BLOCK_OF_ROLE = {"embed": "embedding", "head": "head"}
_DIFFERENCE = 0.02
_INDEPENDENT = 1e-6
_SHARES = {"attention": 1.0, "mlp": 1.3, "norm": 0.3, "embedding": 2.0, "head": 2.0}
"""How much a site of each block counts in distances: norms hold few numbers, embedding and head occur once."""


@dataclass(frozen=True)
class Place:
    """A site as the evaluator sees it."""

    role: str
    block: str
    layer: int | None
    depth: float
    name: str = "weight"
    kind: str = "weight"
    shape: tuple[int, ...] = (64, 64)
    readable: ClassVar[tuple[str, ...]] = ("role", "block", "layer", "depth", "name", "kind")


@dataclass(frozen=True)
class Mix:
    """A weighted sum of donors, with the share of entries that its methods drop and of signs that they elect."""

    amounts: Vector
    dropped: float = 0.0
    elected: float = 0.0

    def _joined(self, other: Mix, amounts: Vector) -> Mix:
        return Mix(amounts, max(self.dropped, other.dropped), max(self.elected, other.elected))

    def __add__(self, other: object) -> Mix:
        if isinstance(other, Mix):
            return self._joined(other, self.amounts + other.amounts)
        raise Unsupported("sum of tensor and number")

    __radd__ = __add__

    def __sub__(self, other: object) -> Mix:
        return self + (-other) if isinstance(other, Mix) else self + other

    def __neg__(self) -> Mix:
        return self * -1.0

    def __mul__(self, factor: object) -> Mix:
        if isinstance(factor, (int, float)):
            return replace(self, amounts=self.amounts * float(factor))
        raise Unsupported("product of tensors")

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> Mix:
        if isinstance(divisor, (int, float)) and divisor != 0:
            return self * (1.0 / divisor)
        raise Unsupported("division")


def _factors(weights: Any, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    return [float(weights)] * count if isinstance(weights, (int, float)) else [float(item) for item in weights]


def _sum(tensors: Sequence[Mix], weights: Sequence[float]) -> Mix:
    total = tensors[0] * weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total = total + tensor * weight
    return total


def linear(tensors: Sequence[Mix], weights: Any = None, normalize: bool = True) -> Mix:
    """As evolve.methods.linear, on mixes."""
    factors = _factors(weights, len(tensors))
    return _sum(tensors, factors) / (sum(factors) if normalize else 1.0)


def _deltas(base: Mix, tensors: Sequence[Mix], factors: Sequence[float], scale: float) -> Mix:
    return base + _sum([tensor - base for tensor in tensors], factors) * scale


def task_arithmetic(base: Mix, tensors: Sequence[Mix], weights: Any = None, scale: float = 1.0) -> Mix:
    """As evolve.methods.task_arithmetic, on mixes."""
    return _deltas(base, tensors, _factors(weights, len(tensors)), scale)


def _sparse(default: float, elects: bool, averages: bool) -> Callable[..., Mix]:
    """A method that drops entries, elects signs, or both; the mix is that of its weights alone."""

    def method(
        base: Mix, tensors: Sequence[Mix], weights: Any = None, density: Any = default, rescale: Any = True,
        scale: float = 1.0, normalize: bool = averages, gamma: Any = 0.0, epsilon: Any = 0.0,
    ) -> Mix:  # fmt: skip
        factors = _factors(weights, len(tensors))
        divisor = (sum(abs(factor) for factor in factors) or 1.0) if normalize and elects else 1.0
        merged = _deltas(base, tensors, factors, scale / divisor)
        kept = float(np.mean(_factors(density, len(tensors))))
        return replace(merged, dropped=1.0 - min(kept, 1.0), elected=float(elects))

    return method


def slerp(a: Mix, b: Mix, t: float, base: Any = None, along: str = "tensor") -> Mix:
    """The linear interpolation that slerp and nuslerp are close to for similar donors."""
    return a * (1.0 - t) + b * t


def multislerp(tensors: Sequence[Mix], weights: Any = None, base: Any = None, normalize: bool = True) -> Mix:
    """The average that multislerp is close to for similar donors."""
    return linear(tensors, weights, normalize)


def karcher(tensors: Sequence[Mix], weights: Any = None, iterations: int = 10, tolerance: float = 1e-5) -> Mix:
    """The average that the Karcher mean is close to for similar donors."""
    return linear(tensors, weights)


def passthrough(tensor: Mix, scale: float = 1.0) -> Mix:
    """As evolve.methods.passthrough, on mixes."""
    return tensor * scale


def layer_swap(
    site: Place, inner: Mix, outer: Mix, bottom: float = 0.2, top: float = 0.1, transition: float = 0.05
) -> Mix:
    """As evolve.methods.layer_swap, on mixes."""
    if site.layer is None or site.depth < bottom or site.depth > 1 - top:
        return outer
    edge = site.depth < bottom + transition or site.depth > 1 - top - transition
    return slerp(inner, outer, 0.5) if edge else inner


METHODS: Mapping[str, Callable[..., Any]] = {
    "linear": linear,
    "task_arithmetic": task_arithmetic,
    "slerp": slerp,
    "layer_swap": layer_swap,
    "ties": _sparse(0.2, elects=True, averages=True),
    "dare_linear": _sparse(0.5, elects=False, averages=False),
    "dare_ties": _sparse(0.5, elects=True, averages=False),
    "della": _sparse(0.5, elects=True, averages=True),
    "della_linear": _sparse(0.5, elects=False, averages=False),
    "breadcrumbs": _sparse(0.143, elects=False, averages=False),
    "breadcrumbs_ties": _sparse(0.143, elects=True, averages=False),
    "sparse_sign": _sparse(1.0, elects=False, averages=False),
    "nuslerp": slerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "passthrough": passthrough,
}


@lru_cache(maxsize=16)
def places(roles: tuple[str, ...], layers: int) -> tuple[Place, ...]:
    """The sites at which recipes are compared: every role, in at most PLACES layers."""
    numbers = sorted({round(i * (layers - 1) / max(PLACES - 1, 1)) for i in range(PLACES)}) if layers > 0 else []
    found = []
    for role in roles:
        block = _BLOCK_OF_ROLE.get(role, "norm" if "norm" in role else "attention" if role[1:2] == "_" else "mlp")
        if role in ("embed", "head", "final_norm"):
            found.append(Place(role, block, None, 0.0 if role == "embed" else 1.0))
        else:
            found += [Place(role, block, n, n / max(layers - 1, 1)) for n in numbers]
    return tuple(found)


@lru_cache(maxsize=4096)
def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _levels(places: Sequence[Place], scales: Vector) -> tuple[Vector, npt.NDArray[np.int64]]:
    """An orthonormal basis of functions of the site, (sites, sites): constant, by layer, the rest; and their levels."""
    count = len(places)
    keys = [(place.layer, place.block if place.layer is None else "") for place in places]
    groups = np.array([[key == other for other in dict.fromkeys(keys)] for key in keys], dtype=np.float64)
    columns = np.concatenate([np.ones((count, 1)), groups, np.eye(count)], axis=1) * scales[:, None]
    basis: list[Vector] = []
    levels: list[int] = []
    for index, column in enumerate(columns.T):
        for known in basis:
            column = column - known * float(known @ column)
        size = float(np.linalg.norm(column))
        if size > _INDEPENDENT:
            basis.append(column / size)
            levels.append(0 if index == 0 else 1 if index <= groups.shape[1] else 2)
    return np.array(basis).reshape(-1, count), np.array(levels, dtype=np.int64)


class Effects:
    """Effects of recipes over the same donors and sites, remembered by source."""

    def __init__(self, donors: tuple[str, ...], roles: tuple[str, ...], layers: int) -> None:
        self._donors = donors
        self._places = places(roles, layers)
        shares = np.array([_SHARES.get(place.block, 1.0) for place in self._places])
        self._scales = np.sqrt(shares / max(float(shares.sum()), 1e-9))
        self._split, levels = _levels(self._places, self._scales)
        self.levels = np.repeat(levels, sum(donor != "base" for donor in donors) + 2)
        self._known: dict[str, Vector | None] = {}
        self._slopes: dict[str, Vector | None] = {}

    def of(self, source: str) -> Vector | None:
        """A recipe's effect, None for code beyond the evaluator.

        Per site it is the amount of each donor (base excluded) and what methods drop and elect, scaled so that squared
        distances are means over the model, and rotated: means over the model first, then departures of each layer, then
        those of each site. ``levels`` tells which entry is which (0, 1, 2).
        """
        known = self._known  # several threads may ask at once; a dictionary is replaced when full, never emptied
        if source in known:
            return known[source]
        found = self.with_knobs(source, {})
        if len(known) >= MAX_REMEMBERED:
            known = self._known = {}
        known[source] = found
        return found

    def slopes(self, source: str, space: Space) -> Vector | None:
        """How the effect changes with each coordinate of the program's own knobs, (coordinates, entries)."""
        known = self._slopes
        if source in known:
            return known[source]
        found = self._measured(source, space)
        if len(known) >= MAX_REMEMBERED // 16:
            known = self._slopes = {}
        known[source] = found
        return found

    def _measured(self, source: str, space: Space) -> Vector | None:
        start, here, found = self.of(source), space.here(), []
        for index in range(space.size):
            moved = here.copy()
            moved[index] += _DIFFERENCE if here[index] < 0.5 else -_DIFFERENCE
            effect = self.with_knobs(source, space.values(moved))
            if effect is None or start is None:
                return None
            found.append((effect - start) / (moved[index] - here[index]))
        return np.array(found)

    def with_knobs(self, source: str, values: Mapping[str, Sequence[float]]) -> Vector | None:
        """The effect of a recipe with other knob values."""
        tree = _tree(source)
        if tree is None or not self._places:
            return None

        def knob(name: str, value: Any, *, low: float, high: float) -> Any:
            new = values.get(name)
            return value if new is None else (list(new) if isinstance(value, list) else new[0])

        try:
            by_role = any(word in source for word in _BY_ROLE)
            return self._run(Interpreter(tree, {**METHODS, "knob": knob}), by_role)
        except (Unsupported, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
            return None

    def _run(self, program: Interpreter, by_role: bool) -> Vector:
        names = program.parameters("merge")
        units = np.eye(len(self._donors))
        donors = {donor: Mix(units[index]) for index, donor in enumerate(self._donors)}
        given = {name: donors[name] for name in names[1:]}
        keep = [index for index, donor in enumerate(self._donors) if donor != "base"]
        rows, drops = [], []
        mixes: dict[object, Mix] = {}
        for place, scale in zip(self._places, self._scales, strict=True):
            key = (place.role if by_role else place.block, place.layer, place.depth)
            mix = mixes[key] if key in mixes else program.call("merge", {names[0]: place, **given})
            if not isinstance(mix, Mix):
                raise Unsupported("merge returns no mix")
            mixes[key] = mix
            rows.append(mix.amounts[keep] * scale)
            drops.append((0.5 * mix.dropped * scale, 0.3 * mix.elected * scale))
        effect = np.concatenate([self._split @ np.array(rows), self._split @ np.array(drops)], axis=1).ravel()
        if not math.isfinite(float(effect.sum())):
            raise Unsupported("not finite")
        return effect


@lru_cache(maxsize=16)
def effects_for(donors: tuple[str, ...], roles: tuple[str, ...], layers: int) -> Effects:
    """The shared memory of effects for a problem."""
    return Effects(donors, roles, layers)
