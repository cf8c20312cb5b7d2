"""A candidate's evaluation in growing batches, given up once it almost surely loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from evolve.errors import EvaluatorError
from evolve.evaluation import Evaluation
from evolve.features import FeatureAxis, cell_key, cell_of
from evolve.racing import Race
from evolve.statistics import is_mean

Judge = Callable[[Sequence[int]], Evaluation]
"""The problem's evaluation of the items with these indices, in this order."""

NO_MEAN = "candidates cannot be raced: the score is not the mean of outcomes, one for each item"


class Raced(NamedTuple):
    """An evaluation of the items that were answered, in the order of the race unless it is ``whole``."""

    evaluation: Evaluation
    whole: bool
    note: str = ""


def raced(judge: Judge, race: Race) -> Raced:
    """Judges the items so far at each look, and all of them, in the order of the split, at the last."""
    axes = [FeatureAxis(*axis) for axis in race.axes]
    everything = range(len(race.order))
    for look, items in enumerate(race.looks[:-1]):
        try:
            evaluation = judge(race.order[:items])
        except EvaluatorError as error:
            # An evaluator that cannot judge a part may still judge the whole; if not, its error comes again.
            return Raced(judge(everything), True, f"candidates cannot be raced: {error}")
        if not is_mean(evaluation.score, evaluation.outcomes):
            return Raced(judge(everything), True, NO_MEAN)
        if race.loses(look, evaluation.outcomes, cell_key(cell_of(axes, evaluation.features))):
            return Raced(evaluation, False)
    return Raced(judge(everything), True)
