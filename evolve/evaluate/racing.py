"""A candidate's evaluation in growing batches, given up once it almost surely loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from evolve.errors import EvaluatorError
from evolve.evaluation import Evaluation
from evolve.racing import Race

Judge = Callable[[Sequence[int]], Evaluation]
"""The problem's evaluation of the items with these indices, in this order."""


class Raced(NamedTuple):
    """An evaluation of the items that were answered, in the order of the race unless it is ``whole``.

    One that is not has the outcomes of those items, and as its score what they make expect over all items.
    """

    evaluation: Evaluation
    whole: bool
    note: str = ""


def raced(judge: Judge, race: Race) -> Raced:
    """Judges the items so far at each look, and all of them, in the order of the split, at the last."""
    everything = range(len(race.order))
    for look, items in enumerate(race.looks[:-1]):
        try:
            evaluation = judge(race.order[:items])
        except EvaluatorError as error:
            # An evaluator that cannot judge a part may still judge the whole; if not, its error comes again.
            return Raced(judge(everything), True, f"candidates cannot be raced: {error}")
        if race.loses(look, evaluation.outcomes):
            return Raced(replace(evaluation, score=race.estimate(evaluation.outcomes)), False)
    return Raced(judge(everything), True)
