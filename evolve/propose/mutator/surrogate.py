"""Steps and choices learned from the scored programs of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.gaussian import LENGTHS, Process, Vector
from evolve.propose.base import Parent, ProposalRequest
from evolve.propose.mutator.draft import Draft
from evolve.propose.mutator.effect import Effects, effects_for
from evolve.propose.mutator.literals import set_knobs
from evolve.propose.mutator.perturb import Edit, random_step
from evolve.propose.mutator.space import Space, describe, scored_points, space_of

SMALLEST_SAMPLE = 4
LARGEST_SAMPLE = 160
CANDIDATES = 192
UPHILL = 48
"""How many of the candidates start along the slope of the mean."""
TOWARDS, GOALS = 48, 6
"""How many start towards the effects of the best programs, and how many of those."""

CLIMB, CLIMB_STEP = 16, 0.04
RIDGE = 0.01
SPREAD = 1.0
"""Less than 1: within a few hundred evaluations, exploiting pays more than exploring."""


@dataclass(frozen=True)
class Landscape:
    """Scores over effects of recipes, from programs of every structure."""

    effects: Effects
    process: Process
    best: tuple[Vector, ...]

    def choose(self, sources: Sequence[str], rng: np.random.Generator) -> int:
        """Which of several children one plausible landscape likes best; the first where their effects are unknown."""
        known = [(index, self.effects.of(source)) for index, source in enumerate(sources)]
        usable = [(index, effect) for index, effect in known if effect is not None]
        if len(usable) < len(known) or not usable:
            return 0
        drawn = self.process.draw(np.array([effect for _, effect in usable]), rng, SPREAD)
        return usable[int(np.argmax(drawn))][0]


def landscape(request: ProposalRequest, pool: Sequence[Parent]) -> Landscape | None:
    """The landscape around the parent; None without enough scored programs whose effect is known."""
    if request.kind != "merge" or request.parent.score is None:
        return None
    effects = effects_for(request.donors, request.roles, request.layers)
    found = [(effects.of(parent.source), parent.score) for parent in (request.parent, *pool)]
    usable = [(effect, score) for effect, score in found if effect is not None and score is not None]
    if found[0][0] is None or len(usable) < SMALLEST_SAMPLE:
        return None
    points, scores = _nearest([effect for effect, _ in usable], [score for _, score in usable])
    order = np.argsort(-scores, kind="stable")[:GOALS]
    return Landscape(effects, Process(points, scores, levels=effects.levels), tuple(points[order]))


def learned_step(draft: Draft, ground: Landscape | None, rng: np.random.Generator) -> Edit | None:
    """Knob values that one plausible function through the scores of other programs likes best."""
    space = space_of(draft)
    if not space.size:
        return None
    chosen = _by_effect(space, draft.source, ground, rng) if ground is not None else None
    if chosen is None:
        chosen = _by_knobs(draft, space, rng)
    if chosen is None:
        return None
    values = space.values(chosen)
    text = describe("learned step", space, values)
    return (draft.with_tree(set_knobs(draft.tree, values)), text) if text else None


def _by_effect(space: Space, source: str, ground: Landscape, rng: np.random.Generator) -> Vector | None:
    """The best of many steps, their effects extrapolated along the slopes of the program's knobs."""
    start = ground.effects.of(source)
    here, jacobian = space.here(), ground.effects.slopes(source, space)
    if jacobian is None or start is None:
        return None
    climb = _climb(ground.process, start, jacobian, here)
    goals = _steps_towards(ground.best, start, jacobian)
    candidates = []
    for index in range(CANDIDATES):
        step = random_step(space, rng)
        if index < UPHILL:
            step = 0.5 * step * rng.random() + climb[rng.integers(len(climb))] - here
        elif index < UPHILL + TOWARDS:
            step = 0.5 * step + goals[index % len(goals)] * rng.uniform(0.3, 1.2)
        candidates.append(_folded(here + step))
    points = np.array(candidates)
    drawn = ground.process.draw(start + (points - here) @ jacobian, rng, SPREAD)
    return np.asarray(points[int(np.argmax(drawn))])


def _climb(process: Process, start: Vector, jacobian: Vector, here: Vector) -> list[Vector]:
    """Points along the ascent of the mean, in the unit cube."""
    point, path = here, []
    for _ in range(CLIMB):
        slope = jacobian @ process.gradient(start + (point - here) @ jacobian)
        point = np.clip(point + CLIMB_STEP * slope / max(float(np.abs(slope).max()), 1e-12), 0.0, 1.0)
        path.append(point)
    return path


def _steps_towards(goals: Sequence[Vector], start: Vector, jacobian: Vector) -> list[Vector]:
    """For each effect the step that comes closest to it, by least squares with a slight pull to zero."""
    square = jacobian @ jacobian.T
    square += RIDGE * max(float(np.trace(square)), 1e-9) / len(square) * np.eye(len(square))
    return [np.asarray(np.linalg.solve(square, jacobian @ (goal - start))) for goal in goals]


def _by_knobs(draft: Draft, space: Space, rng: np.random.Generator) -> Vector | None:
    """The same over the knobs themselves, from programs that have all of them."""
    own = draft.scope.request.parent.score
    points, scores = scored_points(space, draft.scope.pool)
    if own is None or len(points) + 1 < SMALLEST_SAMPLE:
        return None
    here = space.here()
    sample, targets = _nearest([here, *points], [own, *scores])
    best = sample[np.argsort(-targets, kind="stable")[: max(3, len(sample) // 4)]]
    candidates = []
    for index in range(CANDIDATES):
        start = here if index % 2 else best[rng.integers(len(best))]
        if index % 5 == 0 and len(best) > 1:
            first, second = rng.permutation(len(best))[:2]
            start = start + rng.uniform(0.2, 0.9) * (best[first] - best[second])
        candidates.append(_folded(start + random_step(space, rng)))
    array = np.array(candidates)
    lengths = [length * np.sqrt(space.size) for length in LENGTHS]
    drawn = Process(sample, targets, lengths=lengths).draw(array, rng, SPREAD)
    return np.asarray(array[int(np.argmax(drawn))])


def _folded(point: Vector) -> Vector:
    """A point mirrored back into the unit cube."""
    point = np.abs(point) % 2.0
    return np.where(point > 1.0, 2.0 - point, point)


def _nearest(points: Sequence[Vector], scores: Sequence[float]) -> tuple[Vector, Vector]:
    """The points closest to the first one, at most LARGEST_SAMPLE."""
    array, targets = np.array(points), np.array(scores)
    order = np.argsort(((array - array[0]) ** 2).sum(1), kind="stable")[:LARGEST_SAMPLE]
    return array[order], targets[order]
