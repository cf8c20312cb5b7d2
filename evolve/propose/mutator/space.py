"""The numbers of a program as a point in the unit cube, shared with other programs by knob name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evolve.gaussian import Vector
from evolve.propose.base import Parent
from evolve.propose.mutator.draft import Draft
from evolve.propose.mutator.literals import Knob, knob_values
from evolve.propose.mutator.numbers import shown


@dataclass(frozen=True)
class Space:
    """Coordinates of a program's knobs in order; a wide knob has one per entry."""

    knobs: tuple[Knob, ...]

    @property
    def size(self) -> int:
        return sum(len(knob.values) for knob in self.knobs)

    def point(self, values: Mapping[str, tuple[float, ...]]) -> Vector | None:
        """Unit coordinates of another program's knob values, None where a knob is missing or has another length."""
        found: list[float] = []
        for knob in self.knobs:
            theirs = values.get(knob.name)
            if theirs is None or len(theirs) != len(knob.values):
                return None
            found += [knob.range.unit(value) for value in theirs]
        return np.array(found)

    def here(self) -> Vector:
        """This program's own point."""
        return np.array([knob.range.unit(value) for knob in self.knobs for value in knob.values])

    def values(self, point: Vector) -> dict[str, tuple[float, ...]]:
        """Knob values at a point; coordinates that did not move keep their exact literals."""
        found: dict[str, tuple[float, ...]] = {}
        start = 0
        for knob in self.knobs:
            units = point[start : start + len(knob.values)]
            start += len(knob.values)
            found[knob.name] = tuple(
                old if abs(knob.range.unit(old) - unit) < 1e-9 else knob.range.value(float(unit))
                for old, unit in zip(knob.values, units, strict=True)
            )
        return found

    def owners(self) -> npt.NDArray[np.int64]:
        """For each coordinate the index of its knob."""
        return np.repeat(np.arange(len(self.knobs)), [len(knob.values) for knob in self.knobs])


def space_of(draft: Draft) -> Space:
    """The space of all knobs in the draft's block."""
    return Space(tuple(draft.knobs.values()))


def scored_points(space: Space, pool: Iterable[Parent]) -> tuple[list[Vector], list[float]]:
    """Points and scores of the programs that have all of the space's knobs."""
    points: list[Vector] = []
    scores: list[float] = []
    for parent in pool:
        point = space.point(knob_values(parent.source))
        if point is not None and parent.score is not None:
            points.append(point)
            scores.append(parent.score)
    return points, scores


def describe(verb: str, space: Space, values: Mapping[str, tuple[float, ...]]) -> str:
    """``perturb ja_weight 0.5 -> 0.61, ...`` with at most three knobs spelled out; empty when nothing changed."""
    parts = []
    for knob in space.knobs:
        new = values[knob.name]
        moved = [index for index, (old, now) in enumerate(zip(knob.values, new, strict=True)) if old != now]
        if not moved:
            continue
        if not knob.wide:
            parts.append(f"{knob.name} {shown(knob.values[0])} -> {shown(new[0])}")
        elif len(moved) == 1:
            index = moved[0]
            parts.append(f"{knob.name}[{index}] {shown(knob.values[index])} -> {shown(new[index])}")
        else:
            parts.append(f"{knob.name} -> {shown(new)}")
    more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
    return f"{verb} {', '.join(parts[:3])}{more}" if parts else ""
