"""What is under way in a run and its running totals, so that asking for them costs the same at any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from evolve.store.records import FINISHED, Cost, Counts, LlmCall, ProposalState


class Totals:
    """Starts from what the database holds and follows each committed write."""

    def __init__(self, counts: Counts, cost: Cost, under_way: Mapping[int, tuple[ProposalState, bool]]) -> None:
        """``under_way``: the state of each proposal without an end, and whether its evaluation has begun."""
        self._under_way = dict(under_way)
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

    def is_under_way(self, number: int) -> bool:
        return number in self._under_way

    def asked(self, number: int) -> None:
        self._under_way[number] = "proposed", False
        self._states["proposed"] += 1

    def moved(self, number: int, after: ProposalState) -> None:
        """An evaluation is used by a score or a failure after it has begun."""
        before, begun = self._under_way.pop(number)
        if after not in FINISHED:
            self._under_way[number] = after, begun or after == "evaluating"
        self._states[before] -= 1
        self._states[after] += 1
        self._evaluations += begun and after in ("scored", "failed")

    def called(self, calls: Iterable[LlmCall]) -> None:
        for call in calls:
            if call.cost_usd is None:
                self._unknown_calls += 1
            else:
                self._known_usd += call.cost_usd
