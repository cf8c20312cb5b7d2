"""The leaves of a plan's graphs: donor, value, constant, noise, total, statistic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from evolve.errors import InvalidPlan
from evolve.plan.operations import DISTRIBUTIONS
from evolve.plan.plan import Node
from evolve.plan.specs import DTYPES, MAX_DIMENSIONS, show

MAX_SEED = 2**63


def _need(where: str, attributes: Mapping[str, Any], *names: str) -> None:
    if set(attributes) != set(names):
        raise InvalidPlan(f"{where}: attributes {str(sorted(attributes))[:200]} given, {sorted(names)} expected")


def _is_shape(value: object) -> bool:
    return type(value) is tuple and len(value) <= MAX_DIMENSIONS and all(type(v) is int and v >= 0 for v in value)


def _check_donor(attributes: Mapping[str, Any], where: str) -> None:
    _need(where, attributes, "name")
    if type(attributes["name"]) is not str:
        raise InvalidPlan(f"{where}: donor name {attributes['name']!r} is not text")


def _check_value(attributes: Mapping[str, Any], where: str) -> None:
    _need(where, attributes, "slot")
    if type(attributes["slot"]) is not int or attributes["slot"] < 0:
        raise InvalidPlan(f"{where}: slot {attributes['slot']!r} is not a position")


def constant_data(node: Node) -> tuple[Any, ...]:
    """The numbers of a constant; none for a malformed one."""
    data = dict(node.attributes).get("data")
    return data if isinstance(data, tuple) else ()


def _check_constant(attributes: Mapping[str, Any], where: str) -> None:
    _need(where, attributes, "dtype", "shape", "data")
    dtype, shape, data = attributes["dtype"], attributes["shape"], attributes["data"]
    if dtype not in DTYPES or not _is_shape(shape) or type(data) is not tuple:
        raise InvalidPlan(f"{where}: a constant needs a dtype of {DTYPES}, a shape and a list of data")
    if math.prod(shape) != len(data):
        raise InvalidPlan(f"{where}: {len(data)} numbers for a constant of shape {show(shape)}")
    wanted = {"float32": "float", "int64": "int", "bool": "bool"}[dtype]
    for item in data:
        if type(item).__name__ != wanted or (wanted == "float" and not math.isfinite(item)):
            raise InvalidPlan(f"{where}: {item!r} in a {dtype} constant")


def _check_noise(attributes: Mapping[str, Any], where: str) -> None:
    _need(where, attributes, "distribution", "shape", "index", "seed")
    if attributes["distribution"] not in DISTRIBUTIONS:
        raise InvalidPlan(f"{where}: distribution {attributes['distribution']!r} is none of {', '.join(DISTRIBUTIONS)}")
    if attributes["shape"] is not None and not _is_shape(attributes["shape"]):
        raise InvalidPlan(f"{where}: shape {attributes['shape']!r} is not a list of sizes")
    for name in ("index", "seed"):
        if type(attributes[name]) is not int or not 0 <= attributes[name] < MAX_SEED:
            raise InvalidPlan(f"{where}: {name} {attributes[name]!r} is not an integer in 0..2**63-1")


def _check_total(attributes: Mapping[str, Any], where: str) -> None:
    _need(where, attributes, "name")
    if type(attributes["name"]) is not str:
        raise InvalidPlan(f"{where}: the total's name {attributes['name']!r} is not text")


def _check_statistic(attributes: Mapping[str, Any], where: str) -> None:
    _need(where, attributes, "donor", "name", "shape")
    for name in ("donor", "name"):
        if type(attributes[name]) is not str:
            raise InvalidPlan(f"{where}: the statistic's {name} {attributes[name]!r} is not text")
    if attributes["shape"] is not None and not _is_shape(attributes["shape"]):
        raise InvalidPlan(f"{where}: shape {attributes['shape']!r} is not a list of sizes")


LEAF_CHECKS: dict[str, Callable[[Mapping[str, Any], str], None]] = {
    "donor": _check_donor,
    "value": _check_value,
    "constant": _check_constant,
    "noise": _check_noise,
    "total": _check_total,
    "statistic": _check_statistic,
}
"""What each kind of leaf needs: raises InvalidPlan unless exactly its attributes are there and of their types."""
DONOR_ATTRIBUTES = {"donor": "name", "statistic": "donor"}
"""Which attribute of a leaf names a donor."""
