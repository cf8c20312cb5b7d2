"""Operators that change numbers and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evolve.gaussian import Vector
from evolve.propose.mutator.draft import Draft
from evolve.propose.mutator.literals import find_constants, is_integer, knob_values, number_node, set_knobs
from evolve.propose.mutator.numbers import Range, shown, step_size
from evolve.propose.mutator.space import Space, describe, space_of

Edit = tuple[Draft, str]
"""The changed draft and its one-line description."""

_HEAVY_TAIL = 0.15
"""Share of steps whose length is drawn from a Cauchy-like tail."""


def random_step(space: Space, rng: np.random.Generator, scale: float | None = None) -> Vector:
    """A displacement of a point: one coordinate, some, or all of them, wide knobs partly moving as one."""
    sigma = step_size(rng) if scale is None else scale
    owners = space.owners()
    alone = rng.standard_normal(space.size)
    together = rng.standard_normal(len(space.knobs))[owners]
    share = rng.choice([0.0, 0.5, 0.9])
    step = np.sqrt(1 - share) * alone + np.sqrt(share) * together
    style = rng.random()
    if style < 0.25:
        mask = np.zeros(space.size, bool)
        mask[rng.integers(space.size)] = True
    elif style < 0.45:
        mask = owners == rng.integers(len(space.knobs))
    elif style < 0.7:
        mask = rng.random(space.size) < max(0.3, 2 / space.size)
        mask[rng.integers(space.size)] = True
    else:
        mask = np.ones(space.size, bool)
    if rng.random() < _HEAVY_TAIL:
        sigma *= 1 / max(abs(rng.standard_normal()), 0.2)
    return np.asarray(step * mask * sigma)


def _moved(draft: Draft, space: Space, point: Vector, verb: str) -> Edit | None:
    values = space.values(point)
    text = describe(verb, space, values)
    return (draft.with_tree(set_knobs(draft.tree, values)), text) if text else None


def perturb_knobs(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """A Gaussian step of one, several or all knobs, reflected at their bounds."""
    space = space_of(draft)
    if not space.size:
        return None
    point = space.here()
    for _ in range(8):  # counting knobs may round back to where they were
        edit = _moved(draft, space, point + random_step(space, rng), "perturb")
        if edit is not None:
            return edit
    return None


def differential(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Differential evolution: the parent plus a scaled difference of two programs, on the knobs that they share."""
    space = space_of(draft)
    others = [parent for parent in draft.scope.pool if knob_values(parent.source).keys() & draft.knobs.keys()]
    if not space.size or not others:
        return None
    pair = [others[index] for index in rng.permutation(len(others))[:2]]
    pair.sort(key=lambda parent: parent.score or 0.0, reverse=True)
    here = space.here()
    better = _overlay(space, knob_values(pair[0].source))
    worse = _overlay(space, knob_values(pair[1].source)) if len(pair) == 2 else here
    own = draft.scope.request.parent.score
    if len(pair) == 1 and own is not None and (pair[0].score or 0.0) < own:
        better, worse = worse, better
    factor = rng.uniform(0.3, 1.0)
    crossed = rng.random(space.size) < rng.choice([0.5, 1.0])
    jitter = rng.standard_normal(space.size) * 0.01
    step = crossed * (factor * (better - worse) + jitter)
    return _moved(draft, space, here + step, "differential step") if np.abs(better - worse).max() > 1e-6 else None


def _overlay(space: Space, values: Mapping[str, tuple[float, ...]]) -> Vector:
    """Another program's point, with this program's coordinates where it has no such knob."""
    parts: list[float] = []
    for knob in space.knobs:
        theirs = values.get(knob.name, knob.values)
        parts += [knob.range.unit(value) for value in (theirs if len(theirs) == len(knob.values) else knob.values)]
    return np.array(parts)


def blend(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """BLX-alpha: each shared knob uniformly between the values of parent and mate, or a little beyond."""
    space = space_of(draft)
    mates = [parent for parent in draft.scope.pool if knob_values(parent.source).keys() & draft.knobs.keys()]
    if not space.size or not mates:
        return None
    mate = mates[0] if draft.scope.request.mate is mates[0] else mates[rng.integers(len(mates))]
    here = space.here()
    there = _overlay(space, knob_values(mate.source))
    spread = rng.uniform(-0.3, 1.3, space.size) if rng.random() < 0.6 else np.full(space.size, rng.uniform(-0.5, 1.2))
    return _moved(draft, space, here + spread * (there - here), "blend") if np.abs(there - here).max() > 1e-6 else None


def perturb_constant(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """A step of one bare number in the code."""
    program = draft.scope.request.kind == "program"
    found = find_constants(draft.tree, integers=program)
    if not found:
        return None
    node = found[rng.integers(len(found))]
    old = float(node.evaluated_value)
    if is_integer(node):
        step = int(rng.choice([-2, -1, 1, 2])) if abs(old) < 20 else round(old * rng.normal(0, 0.2)) or 1
        new = max(old + step, 0.0)
    else:
        scale = abs(old) if old else 0.1
        new = Range(0.0, 4 * scale).value((old + scale * rng.normal(0, 1.5 * step_size(rng))) / (4 * scale))
    if new == old:
        return None
    return draft.swap(node, number_node(new, is_integer(node))), f"perturb constant {shown(old)} -> {shown(new)}"


def widen(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Moves a bound that a knob has run into, by half the range, and steps beyond it."""
    stuck = []
    for knob in draft.knobs.values():
        units = [knob.range.unit(value) for value in knob.values]
        if max(units) > 0.97 and not knob.range.integer:
            stuck.append((knob, "high", knob.range.high + 0.5 * (knob.range.high - knob.range.low)))
        if min(units) < 0.03 and knob.range.low < 0 and not knob.range.logarithmic:
            stuck.append((knob, "low", knob.range.low - 0.5 * (knob.range.high - knob.range.low)))
    if not stuck:
        return None
    knob, side, bound = stuck[rng.integers(len(stuck))]
    arg = next(arg for arg in knob.node.args if arg.keyword is not None and arg.keyword.value == side)
    wider = draft.swap(arg, arg.with_changes(value=number_node(round(bound, 4))))
    return wider, f"widen {knob.name}: {side} -> {shown(bound)}"
