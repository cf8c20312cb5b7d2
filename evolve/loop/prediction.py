"""What the run's scored merges say about one that has not been evaluated, and the choice among drafts by it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evolve.errors import CandidateError, ProposalError
from evolve.loop.lifecycle import trace
from evolve.loop.parts import Parts
from evolve.propose.base import Call, Proposal, ProposalRequest, Proposer, calls_of, with_calls
from evolve.search.digest import source_digest
from evolve.store import recall

if TYPE_CHECKING:
    from evolve.search.trees import Surrogate

REMEMBERED = 2000
"""Scored programs that a resumed run learns from."""

_GROWTH = 0.1
"""It learns anew when the sample has grown by this share: a fit takes a quarter of a second."""


class Prediction:
    """Predicts the score of every traced recipe and, once that has proved right, chooses among drafts.

    ``expect`` is told of each recipe before it is evaluated and stores the predicted score, ``learn`` how it ended.
    """

    def __init__(self, parts: Parts, surrogate: Surrogate) -> None:
        from evolve.strategies.features import plan_features

        self._parts = parts
        self._surrogate = surrogate
        self._features_of = plan_features
        self._open: dict[int, tuple[dict[str, float], float | None]] = {}
        self._samples: deque[dict[str, float]] = deque(maxlen=REMEMBERED)
        self._scores: deque[float] = deque(maxlen=REMEMBERED)
        self._seen = self._fitted = 0
        for row in recall.traced(parts.database.connection, REMEMBERED):
            self._add(self._features(row.plan, row.knobs), row.score, row.predicted)
        self._fit()

    def predict(self, plan: Mapping[str, Any], knobs: Sequence[Mapping[str, Any]]) -> float | None:
        """The expected score (maximised) of a recipe; None before enough is known."""
        return self._surrogate.predict(self._features(plan, knobs))

    def expect(self, number: int, plan: Mapping[str, Any], knobs: Sequence[Mapping[str, Any]]) -> None:
        """Predicts the score of a proposal that is about to be evaluated and stores it."""
        features = self._features(plan, knobs)
        predicted = self._surrogate.predict(features)
        self._open[number] = features, predicted
        if predicted is not None:
            self._parts.database.set_predicted(number, predicted)

    def learn(self, number: int, score: float | None) -> None:
        """Takes in how a proposal ended; None without a score."""
        features, predicted = self._open.pop(number, (None, None))
        if features is not None and score is not None:
            self._add(features, score, predicted)
            if self._seen >= self._fitted * (1 + _GROWTH) + 1:
                self._fit()

    @property
    def trusted(self) -> bool:
        """Whether the last predictions ranked scores well enough to choose by."""
        return self._surrogate.trusted

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's correlation of the last 30 predictions, each made before its score was known."""
        return self._surrogate.rank_correlation

    async def propose(self, proposer: Proposer, request: ProposalRequest) -> Proposal:
        """One proposal; while predictions are trusted, the best predicted of several drafts, with the calls of all.

        Drafts that cannot be traced or that are known already are left out. Raises ProposalError when the proposer
        writes nothing.
        """
        if not self.trusted:
            return await proposer.propose(request)
        requests = [replace(request, seed=seed) for seed in self._seeds(request.seed)]
        written = await asyncio.gather(*(_attempt(proposer, one) for one in requests))
        calls = tuple(call for _, made, _ in written for call in made)
        drafts = [proposal for proposal, _, _ in written if proposal is not None]
        if not drafts:
            raise with_calls(next(error for _, _, error in written if error is not None), calls)
        expected = [await self._expected(draft) for draft in drafts]
        best = max(range(len(drafts)), key=lambda index: (expected[index], -index))
        return replace(drafts[best], calls=calls)

    def _seeds(self, seed: int) -> list[int]:
        import numpy as np

        count = self._parts.config.search.surrogate_candidates
        more = np.random.default_rng(seed).integers(2**63, size=max(count - 1, 0))
        return [seed, *(int(one) for one in more)]

    async def _expected(self, draft: Proposal) -> float:
        """The predicted score of a draft, minus infinity for one that would not be evaluated."""
        if self._parts.database.find_source(source_digest(draft.source)) is not None:
            return -float("inf")
        try:
            _, plan, knobs = await trace(self._parts, draft.source)
        except CandidateError:
            return -float("inf")
        found = self.predict(plan, knobs)
        return -float("inf") if found is None else found

    def _features(self, plan: Mapping[str, Any], knobs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return self._features_of(plan, knobs, self._parts.sites)

    def _add(self, features: dict[str, float], score: float, predicted: float | None) -> None:
        self._samples.append(features)
        self._scores.append(score)
        self._seen += 1
        if predicted is not None:
            self._surrogate.record(predicted, score)

    def _fit(self) -> None:
        if self._surrogate.fit(list(self._samples), list(self._scores)):
            self._fitted = self._seen


def prediction_of(parts: Parts) -> Prediction | None:
    """The predictions of a merge run that asks for them; None, with a line that says why, where they cannot be had."""
    if not parts.config.search.surrogate:
        return None
    from evolve.search.trees import INSTALL, Surrogate, available

    if parts.problem.kind != "merge":
        parts.observer.message("search.surrogate has no effect: it predicts from merge plans, which programs have not")
        return None
    if not available():
        parts.observer.message(f"search.surrogate has no effect without scikit-learn; {INSTALL}")
        return None
    return Prediction(parts, Surrogate())


async def _attempt(
    proposer: Proposer, request: ProposalRequest
) -> tuple[Proposal | None, tuple[Call, ...], ProposalError | None]:
    try:
        proposal = await proposer.propose(request)
    except ProposalError as error:
        return None, calls_of(error), error
    return proposal, proposal.calls, None
