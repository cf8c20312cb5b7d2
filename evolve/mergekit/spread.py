"""Numbers site by site as mergekit writes them: one for all, gradients over the layers, filters by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evolve.donors.sites import split_name
from evolve.mergekit.gradient import Interval, fitted
from evolve.mergekit.schema import Rule, Value

_BLOCKS = ("self_attn", "mlp")

_Curve = dict[int, Interval]
"""What is allowed at each position of a slice; outside the layers that is position 0."""


def rules(allowed: Mapping[str, Interval], positions: Mapping[int, int], where: str) -> tuple[Rule, ...]:
    """The rules of one parameter from what is ``allowed`` at each site by name.

    ``positions`` are the places of the model's layers in their slice.
    """
    groups = _groups(_curves(allowed, positions))
    groups.sort(key=lambda group: -len(group[0]))
    default, default_curve = groups[0]
    kinds = [kind for members, _ in groups for kind in members]
    single: list[tuple[str, Value]] = []
    blocks: list[tuple[str, Value]] = []
    for members, curve in groups[1:]:
        left = list(members)
        for block in _BLOCKS:
            inside = [kind for kind in kinds if block in kind]
            mine = [kind for kind in left if block in kind]
            if len(mine) > 1 and len(mine) * 2 > len(inside):
                blocks.append((block, _value(curve)))
                left = [kind for kind in left if kind not in mine]
                # The others of the block would be caught by its filter.
                single += [(kind, _value(default_curve)) for kind in inside if kind in default]
        single += [(kind, _value(curve)) for kind in left]
    ordered: list[tuple[str | None, Value]] = [*single, *blocks, (None, _value(default_curve))]
    return tuple(Rule(text, value, f"{where}[{index}]") for index, (text, value) in enumerate(ordered))


def _curves(allowed: Mapping[str, Interval], positions: Mapping[int, int]) -> dict[str, _Curve]:
    """By kind of parameter: the name within a layer, or the whole name outside the layers."""
    curves: dict[str, _Curve] = {}
    for name, interval in allowed.items():
        layer, module, kind = split_name(name)
        if layer is None:
            curves[name] = {0: interval}
        else:
            curves.setdefault(f"{module}.{kind}", {})[positions[layer]] = interval
    # Kinds with most to say come first: the others join them where they can.
    return dict(sorted(curves.items(), key=lambda item: -len(item[1])))


def _groups(curves: Mapping[str, _Curve]) -> list[tuple[list[str], _Curve]]:
    """Kinds that can share their numbers."""
    groups: list[tuple[list[str], _Curve]] = []
    for kind, curve in curves.items():
        for index, (members, shared) in enumerate(groups):
            met = _met(shared, curve)
            if met is not None:
                groups[index] = ([*members, kind], met)
                break
        else:
            groups.append(([kind], curve))
    return groups


def _met(one: _Curve, other: _Curve) -> _Curve | None:
    met = dict(one)
    for position, interval in other.items():
        common = met[position].meet(interval) if position in met else interval
        if common is None:
            return None
        met[position] = common
    return met


def _value(curve: _Curve) -> Value:
    found = fitted(_filled(curve))
    return tuple(found) if isinstance(found, list) else found


def _filled(curve: _Curve) -> Sequence[Interval]:
    """The intervals in order; where there is none, whatever the one before allows."""
    intervals: list[Interval] = []
    for position in range(max(curve) + 1):
        intervals.append(curve.get(position) or (intervals[-1] if intervals else curve[min(curve)]))
    return intervals
