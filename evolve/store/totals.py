"""Running totals of a run, so that asking for them costs the same at the first proposal and at the millionth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evolve.store.records import Cost, Counts, LlmCall, ProposalState


class Totals:
    """Starts from what the database holds and follows each committed write."""

    def __init__(self, counts: Counts, cost: Cost) -> None:
        self._states: Counter[ProposalState] = Counter(counts.by_state)
        self._evaluations = counts.evaluations
        self._known_usd = cost.known_usd
        self._unknown_calls = cost.unknown_calls

    @property
    def counts(self) -> Counts:
        return Counts({state: count for state, count in self._states.items() if count}, self._evaluations)

    @property
    def cost(self) -> Cost:
        return Cost(self._known_usd, self._unknown_calls)

    def asked(self) -> None:
        self._states["proposed"] += 1

    def moved(self, before: ProposalState, after: ProposalState, *, evaluated: bool) -> None:
        """``evaluated``: whether an evaluation had begun, so that a score or a failure has used it."""
        self._states[before] -= 1
        self._states[after] += 1
        self._evaluations += evaluated and after in ("scored", "failed")

    def called(self, calls: Iterable[LlmCall]) -> None:
        for call in calls:
            if call.cost_usd is None:
                self._unknown_calls += 1
            else:
                self._known_usd += call.cost_usd
