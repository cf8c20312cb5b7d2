"""A traced recipe as named numbers, for models that predict its score."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolve.site import Site

LAYER_GROUPS = 12
"""Most groups of neighbouring layers that are told apart."""

Numbers = NDArray[np.float64]

_LINEAR = frozenset({"add", "sub", "add_scaled", "mul", "div", "neg", "lerp", "where", "masked_fill"})
_NO_AMOUNT = frozenset(
    {
        "sign", "isnan", "isinf", "isfinite", "signbit", "logical_not", "logical_and", "logical_or", "logical_xor",
        "bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "eq", "ne", "lt", "le", "gt", "ge", "isclose", "all",
        "any", "count_nonzero", "argmax", "argmin", "full", "eye", "linspace", "arange",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Value:
    """What a node of a template holds at each of its sites.

    ``amounts`` (sites, donors): how much of each donor; ``number`` (sites,): its value where it is a plain number, else
    None; ``parts``: how many tensors were stacked in it.
    """

    amounts: Numbers
    number: Numbers | None = None
    parts: int = 1

    @property
    def mixes(self) -> bool:
        return bool(self.amounts.any())


def plan_features(
    plan: Mapping[str, Any], knobs: Sequence[Mapping[str, Any]], sites: Sequence[Site]
) -> dict[str, float]:
    """Named numbers of a plan document (see evolve.plan.plan).

    - ``ja layer 3``, ``ja q_proj``: the mean amount of a donor in a group of layers and in a role. Linear operations
      are followed exactly; a mask leaves the amount of what it masks, other operations that of their inputs.
    - ``op quantile``: how often an operation occurs per site; ``at quantile``: the mean of the numbers given to it, so
      that densities and thresholds are among them; ``noise`` and ``nodes`` per site.
    - ``knob density``: a knob's value, a wide one's mean.
    - ``stack layers``, ``stack ja``: the length of a stack and a model's layers in it.
    """
    donors = list(plan["donors"])
    amounts, counts, given = _walked(plan, donors)
    found = _by_place(amounts, donors, {site.name: site for site in sites})
    total = max(len(plan["sites"]), 1)
    found |= {f"op {name}": count / total for name, count in counts.items()}
    found |= {f"at {name}": float(np.mean(values)) for name, values in given.items() if values}
    found["nodes"] = sum(counts.values()) / total
    found |= {f"knob {knob['name']}": float(np.mean(knob["value"])) for knob in knobs}
    stack = plan["stack"] or ()
    found |= {f"stack {model}": float(n) for model, n in Counter(entry["model"] for entry in stack).items()}
    if stack:
        found["stack layers"] = float(len(stack))
    return found


def _walked(
    plan: Mapping[str, Any], donors: list[str]
) -> tuple[dict[str, Numbers], Counter[str], dict[str, list[float]]]:
    """Amounts of the donors (donors,) by site, how often each operation occurs, and the numbers given to each."""
    using: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for site in plan["sites"]:
        using[site["template"]].append(site)
    amounts: dict[str, Numbers] = {}
    counts: Counter[str] = Counter()
    given: dict[str, list[float]] = defaultdict(list)
    for index, members in using.items():
        template = plan["templates"][index]
        values: list[_Value] = []
        slots = np.array([site["values"] for site in members], dtype=np.float64).reshape(len(members), -1)
        for op, inputs, attributes in template["nodes"]:
            counts[op] += len(members)
            operands = [values[number] for number in inputs]
            values.append(_value(op, operands, attributes, slots, donors))
            if op not in _LINEAR:
                given[op] += [float(v.number.mean()) for v in operands if v.number is not None]
        output = values[template["output"]].amounts
        amounts |= {site["name"]: row for site, row in zip(members, output, strict=True)}
    return amounts, counts, given


def _value(
    op: str, operands: Sequence[_Value], attributes: Mapping[str, Any], slots: Numbers, donors: list[str]
) -> _Value:
    """What a node holds, from what its inputs hold."""
    nothing = np.zeros((len(slots), len(donors)))
    if op == "donor":
        nothing[:, donors.index(attributes["name"])] = 1.0
        return _Value(nothing)
    if op == "value":
        return _Value(nothing, slots[:, attributes["slot"]])
    if op == "constant" and len(attributes["data"]) == 1:
        return _Value(nothing, np.full(len(slots), float(attributes["data"][0])))
    mixing = [operand for operand in operands if operand.mixes]
    if op in _NO_AMOUNT or not mixing:
        return _Value(nothing)
    parts = max(operand.parts for operand in mixing)
    if op in ("add", "sub", "add_scaled"):
        return _Value(_sum(op, operands), parts=parts)
    if op in ("mul", "div"):
        return _Value(_scaled(op, operands, mixing), parts=parts)
    if op == "neg":
        return _Value(-mixing[0].amounts, parts=parts)
    if op == "lerp" and operands[2].number is not None:
        share = operands[2].number[:, None]
        return _Value(operands[0].amounts * (1 - share) + operands[1].amounts * share)
    if op in ("stack", "cat"):
        return _Value(sum((operand.amounts for operand in operands), nothing), parts=len(operands))
    if op in ("mean", "nanmean"):
        return _Value(mixing[0].amounts / parts)
    return _Value(_mean(mixing), parts=1 if op in ("sum", "nansum") else parts)


def _sum(op: str, operands: Sequence[_Value]) -> Numbers:
    first, second = operands[0].amounts, operands[1].amounts
    if op == "add_scaled" and operands[2].number is not None:
        return first + second * operands[2].number[:, None]
    return first - second if op == "sub" else first + second


def _scaled(op: str, operands: Sequence[_Value], mixing: Sequence[_Value]) -> Numbers:
    factors = [operand.number for operand in operands if operand.number is not None]
    if not factors:
        return operands[0].amounts if op == "div" else _mean(mixing)
    factor = factors[0][:, None]
    if op == "mul":
        return mixing[0].amounts * factor
    return mixing[0].amounts / np.where(np.abs(factor) < 1e-12, 1.0, factor)


def _mean(mixing: Sequence[_Value]) -> Numbers:
    return np.asarray(np.mean([operand.amounts for operand in mixing], axis=0))


def _by_place(amounts: Mapping[str, Numbers], donors: list[str], sites: Mapping[str, Site]) -> dict[str, float]:
    """Mean amounts by group of layers and by role."""
    layers = 1 + max((site.layer for site in sites.values() if site.layer is not None), default=0)
    groups: dict[str, list[Numbers]] = defaultdict(list)
    for name, row in amounts.items():
        site = sites[name]
        groups[site.role].append(row)
        if site.layer is not None:
            groups[f"layer {site.layer * min(layers, LAYER_GROUPS) // layers}"].append(row)
    means = {group: np.mean(rows, axis=0) for group, rows in groups.items()}
    return {f"{donor} {group}": float(row[i]) for group, row in means.items() for i, donor in enumerate(donors)}
