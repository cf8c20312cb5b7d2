"""The mutator's operators and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evolve.propose.base import Kind
from evolve.propose.mutator.crossing import graft, take_schedule
from evolve.propose.mutator.draft import Draft
from evolve.propose.mutator.perturb import Edit, blend, differential, perturb_constant, perturb_knobs, widen
from evolve.propose.mutator.program import swap_operator, take_function
from evolve.propose.mutator.schedule import flatten, modulate, schedule
from evolve.propose.mutator.space import scored_points, space_of
from evolve.propose.mutator.structure import (
    add_condition,
    add_donor,
    drop_condition,
    drop_donor,
    expose,
    nest,
    swap_method,
    unnest,
    wrap_donor,
    wrap_layer_swap,
)

PLATEAU_BOOST, PLATEAU_PROGRAMS, PLATEAU_WIDTH = 4.0, 4, 0.05
CROSSING_BOOST = 4.0
"""How much more often the crossing operators are drawn when there is a mate."""


@dataclass(frozen=True)
class Operator:
    """One kind of edit.

    ``apply`` returns None where it does not fit; it is itself None for the learned step, which needs the landscape.
    ``grows`` marks edits held to the size limits, ``moves`` those that change numbers themselves: after the others, the
    child's knobs take a step.
    """

    apply: Callable[[Draft, np.random.Generator], Edit | None] | None
    weight: float
    kinds: tuple[Kind, ...] = ("merge", "program")
    grows: bool = False
    crosses: bool = False
    moves: bool = False

    @property
    def group(self) -> str:
        """Which arm it belongs to where groups of operators compete."""
        return "crossing" if self.crosses else "numbers" if self.moves else "structure"


GROUPS = ("numbers", "structure", "crossing")


def _recipe(apply: Callable[[Draft, np.random.Generator], Edit | None], weight: float, grows: bool = False) -> Operator:
    return Operator(apply, weight, ("merge",), grows)


OPERATORS: tuple[Operator, ...] = (
    Operator(perturb_knobs, 3.0, moves=True),
    Operator(perturb_constant, 0.3, ("merge",), moves=True),
    Operator(perturb_constant, 4.0, ("program",), moves=True),
    Operator(differential, 1.5, moves=True),
    Operator(None, 6.0, moves=True),
    Operator(widen, 0.2),
    _recipe(schedule, 2.0, grows=True),
    _recipe(modulate, 0.4, grows=True),
    _recipe(flatten, 0.15),
    _recipe(swap_method, 0.4, grows=True),
    _recipe(add_donor, 0.5, grows=True),
    _recipe(drop_donor, 0.2),
    _recipe(nest, 0.2, grows=True),
    _recipe(unnest, 0.1),
    _recipe(wrap_donor, 1.5, grows=True),
    _recipe(wrap_layer_swap, 0.2, grows=True),
    _recipe(expose, 1.5, grows=True),
    _recipe(add_condition, 0.2, grows=True),
    _recipe(drop_condition, 0.1),
    Operator(blend, 0.5, crosses=True, moves=True),
    Operator(take_schedule, 0.3, ("merge",), grows=True, crosses=True),
    Operator(graft, 0.05, ("merge",), grows=True, crosses=True),
    Operator(swap_operator, 0.5, ("program",), moves=True),
    Operator(take_function, 1.0, ("program",), grows=True, crosses=True, moves=True),
)


def operators_for(draft: Draft, group: str | None = None) -> list[tuple[Operator, float]]:
    """The operators for the request's kind of problem with their weights; a wished-for crossing comes first.

    ``group`` leaves only those of one group.
    """
    request = draft.scope.request
    wish = CROSSING_BOOST if request.mate is not None else 1.0
    if request.patch == "cross":
        wish = 1e6
    stuck = PLATEAU_BOOST if _on_plateau(draft) else 1.0
    weights = [op.weight * (wish if op.crosses else stuck if op.grows else 1.0) for op in OPERATORS]
    fitting = [(op, weight) for op, weight in zip(OPERATORS, weights, strict=True) if request.kind in op.kinds]
    return [(op, weight) for op, weight in fitting if group in (None, op.group)]


def _on_plateau(draft: Draft) -> bool:
    """Whether several programs with the parent's knobs score alike: then its structure limits it, not its numbers."""
    own = draft.scope.request.parent.score
    if own is None:
        return False
    _, scores = scored_points(space_of(draft), draft.scope.pool)
    best = max((parent.score or 0.0 for parent in draft.scope.pool), default=own)
    close = [score for score in scores if abs(score - best) <= PLATEAU_WIDTH * max(abs(best), 1e-9)]
    return len(close) >= PLATEAU_PROGRAMS
