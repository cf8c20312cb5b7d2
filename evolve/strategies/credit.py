"""What an ended proposal is worth to the arm that made it."""

from __future__ import annotations

from evolve.search.bandit import Bandit
from evolve.strategies.base import Told

TUNING = "tuning"
"""The arm of proposals that only move the numbers of a program."""

UNCREDITED = frozenset({"ablation"})
"""Patches that measure a program and are no attempt to better it."""


def reward(told: Told, baseline: float | None) -> float:
    """max(score − max(parent's score, baseline), 0); 0 for what failed, was known before, or was stopped early."""
    if told.score is None or told.state != "scored" or not told.whole:
        return 0.0
    bars = [bar for bar in (told.parent_score, baseline) if bar is not None]
    return max(told.score - max(bars), 0.0) if bars else 0.0


class Credit:
    """Passes every result on to a bandit; telling it all of a run's results again restores the bandit's state.

    The baseline is the best seed so far.
    """

    def __init__(self, bandit: Bandit) -> None:
        self.bandit = bandit
        self.baseline: float | None = None

    def tell(self, told: Told) -> float:
        """Records one result and returns its reward; seeds set the baseline, ablations count for nothing."""
        if told.seed_name is not None:
            if told.score is not None and told.whole:
                self.baseline = told.score if self.baseline is None else max(self.baseline, told.score)
            return 0.0
        if told.patch in UNCREDITED:
            return 0.0
        gain = reward(told, self.baseline)
        seconds = told.seconds if told.used else 0.0
        self.bandit.record(told.arm, gain, told.cost_usd, seconds, told.archived, told.used)
        return gain
