"""A bandit over proposers: which of several arms brings the largest gains for its money."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evolve.errors import UsageError

if TYPE_CHECKING:
    import numpy

Rule = Literal["ucb", "thompson"]
RULES: tuple[Rule, ...] = ("ucb", "thompson")
PRIOR_CALLS = 2.0
"""Calls with the mean gain of all arms that an arm's gain per dollar starts from."""


@dataclass
class Arm:
    """What is known of one arm.

    ``gain`` and ``seconds`` (of evaluations) are sums over its ``calls``; ``cost_usd`` is the part that is known,
    ``unknown_costs`` counts calls without a price. ``recent`` is the sum of its gains and ``weight`` that of its calls,
    both weighted by ``decay ** age``. ``pending`` counts choices whose result is not there yet.
    """

    calls: int = 0
    pending: int = 0
    accepted: int = 0
    evaluations: int = 0
    gain: float = 0.0
    cost_usd: float = 0.0
    unknown_costs: int = 0
    seconds: float = 0.0
    recent: float = 0.0
    weight: float = 0.0

    @property
    def mean(self) -> float:
        """The gain per call, old calls counting less; 0 before the first."""
        return self.recent / self.weight if self.weight else 0.0

    @property
    def price_known(self) -> bool:
        return self.calls > 0 and not self.unknown_costs

    @property
    def gain_per_usd(self) -> float | None:
        """None where a price is unknown or nothing was paid."""
        return self.gain / self.cost_usd if self.price_known and self.cost_usd > 0 else None

    @property
    def gain_per_second(self) -> float | None:
        """The gain per second of evaluation, None without any."""
        return self.gain / self.seconds if self.seconds > 0 else None


class Bandit:
    """Chooses arms by the gains they brought.

    Gains are divided by the largest seen. ``ucb``: mean + c·√(2 ln t / n) with c = ``exploration`` (Auer et al. 2002,
    Machine Learning 47:235-256), the mean forgetting by ``decay`` for each call of the arm. ``thompson``: a draw from
    the Beta posterior of the decayed gains. Either is blended with the gain per dollar relative to the best arm's by
    ``cost_weight``; an arm with an unknown price is judged by its gain alone, a free one that gains is as thrifty as
    the best. An arm that was never called comes first. The state follows from the calls of ``record``.
    """

    def __init__(
        self,
        arms: Iterable[str],
        rule: Rule = "ucb",
        cost_weight: float = 0.5,
        decay: float = 0.95,
        exploration: float = 1.0,
    ) -> None:
        """Raises UsageError for an unknown rule or a number out of range."""
        if rule not in RULES:
            raise UsageError(f"unknown bandit rule {rule!r}; use one of {', '.join(RULES)}")
        if not (0 <= cost_weight <= 1 and 0 < decay <= 1 and exploration >= 0):
            raise UsageError(
                f"a bandit needs cost_weight in 0..1, decay in 0..1 and exploration >= 0, "
                f"not {cost_weight:g}, {decay:g} and {exploration:g}"
            )
        self.arms: dict[str, Arm] = {name: Arm() for name in arms}
        self._rule, self._cost_weight, self._decay, self._exploration = rule, cost_weight, decay, exploration
        self._largest = 0.0

    def add(self, name: str) -> None:
        """Lets another arm take part; one that is known keeps what is known of it."""
        self.arms.setdefault(name, Arm())

    def drop(self, name: str) -> None:
        """Leaves an arm out from now on; results that still come for it are ignored."""
        self.arms.pop(name, None)

    def choose(self, rng: numpy.random.Generator, among: Iterable[str] | None = None) -> str:
        """The arm with the highest index, chance deciding between equals. Raises UsageError when there is none."""
        names = sorted(self.arms if among is None else self.arms.keys() & set(among))
        if not names:
            raise UsageError("no arm is left to choose from; name a proposer with --llm")
        values = [self._index(self.arms[name], names, rng) for name in names]
        top = max(values)
        best = [name for name, value in zip(names, values, strict=True) if value == top]
        chosen = best[int(rng.integers(len(best)))]
        self.arms[chosen].pending += 1
        return chosen

    def record(
        self, name: str, gain: float, cost_usd: float | None, seconds: float, accepted: bool, evaluated: bool
    ) -> None:
        """What a call of an arm came to: its gain (0 for a failure), price (None: unknown) and evaluation time."""
        arm = self.arms.get(name)
        if arm is None:
            return
        arm.calls += 1
        arm.pending = max(arm.pending - 1, 0)
        arm.accepted += accepted
        arm.evaluations += evaluated
        arm.gain += gain
        arm.cost_usd += cost_usd or 0.0
        arm.unknown_costs += cost_usd is None
        arm.seconds += seconds
        arm.recent = self._decay * arm.recent + gain
        arm.weight = self._decay * arm.weight + 1.0
        self._largest = max(self._largest, gain)

    def _index(self, arm: Arm, names: list[str], rng: numpy.random.Generator) -> float:
        tried = arm.calls + arm.pending
        if tried == 0:
            return math.inf
        value = self._sampled(arm, rng) if self._rule == "thompson" else self._bound(arm, tried, names)
        thrift = self._thrift(arm, names)
        return value if thrift is None else (1 - self._cost_weight) * value + self._cost_weight * thrift

    def _scaled(self, gain: float) -> float:
        return gain / self._largest if self._largest else 0.0

    def _bound(self, arm: Arm, tried: int, names: list[str]) -> float:
        total = sum(self.arms[name].calls + self.arms[name].pending for name in names)
        return self._scaled(arm.mean) + self._exploration * math.sqrt(2 * math.log(max(total, 1)) / tried)

    def _sampled(self, arm: Arm, rng: numpy.random.Generator) -> float:
        won = self._scaled(arm.recent)
        return float(rng.beta(1.0 + won, 1.0 + max(arm.weight - won, 0.0)))

    def _thrift(self, arm: Arm, names: list[str]) -> float | None:
        """The gain per dollar over the best arm's, 0..1; None where there is no price to compare.

        Gains are drawn towards the mean of all arms by ``PRIOR_CALLS``: one call without a gain condemns no arm.
        """
        tried = [self.arms[name] for name in names if self.arms[name].calls]
        pooled = sum(one.gain for one in tried) / max(sum(one.calls for one in tried), 1)
        ratios = [self._per_usd(one, pooled) for one in tried if one.price_known and one.cost_usd > 0]
        if not arm.price_known or not ratios or pooled <= 0:
            return None
        return self._per_usd(arm, pooled) / max(ratios) if arm.cost_usd > 0 else 1.0

    @staticmethod
    def _per_usd(arm: Arm, pooled: float) -> float:
        gain = (arm.gain + PRIOR_CALLS * pooled) / (arm.calls + PRIOR_CALLS)
        return gain * arm.calls / arm.cost_usd
