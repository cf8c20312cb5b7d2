"""What a language model is told beside the programs: items, insights, importance, a lesson, what is known already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evolve.loop.ablation import importance
from evolve.loop.feedback import ItemFeedback
from evolve.loop.insights import Insights
from evolve.loop.lesson import Lessons
from evolve.loop.parts import Parts
from evolve.propose.base import Parent, ProposalRequest, Proposer
from evolve.propose.language_model import LanguageModel
from evolve.search.digest import source_digest

PARTS = 8
"""Lines on what donors and layers are worth, the most important ones."""

_THOUGHT_STREAM = 1
"""Second word of the seed of a generator of its own, so that the draws of the request stay as they are."""


class Facts:
    """Adds to a request for a language model what the run knows, as the section ``proposals`` of the settings says."""

    def __init__(self, parts: Parts, parent: Callable[[int], Parent]) -> None:
        """``parent`` gives a stored program as proposers see it."""
        self._parts = parts
        self._settings = parts.config.proposals
        self._items = ItemFeedback(parts.database, parts.problem)
        self._insights = Insights(parts.database.connection)
        self._lessons = Lessons(parts, parent, self._insights)

    def added(self, request: ProposalRequest, proposer: Proposer) -> ProposalRequest:
        """The request as ``proposer`` gets it."""
        if not isinstance(proposer, LanguageModel):
            return request
        number, told, connection = int(request.parent.id), self._settings, self._parts.database.connection
        request = replace(
            request,
            item_feedback=self._items.of(number) if told.item_feedback else (),
            insights=self._insights.of(number) if told.insights else (),
            importance=importance(connection, number)[:PARTS] if told.importance else (),
            known=self._known,
        )
        return self._with_lesson(request)

    def _known(self, source: str) -> int | None:
        """The number of the program with this text; layout aside."""
        found = self._parts.database.find_source(source_digest(source))
        return None if found is None else found.program_id

    def _with_lesson(self, request: ProposalRequest) -> ProposalRequest:
        """With its share of chance, a request whose kind of edit is open becomes one for the transfer of a principle.

        The lesson takes the place of the inspirations: the elite it comes from is the only one.
        """
        if request.patch is not None or request.mate is not None:
            return request
        import numpy

        rng = numpy.random.default_rng([request.seed, _THOUGHT_STREAM])
        if rng.random() >= self._settings.evolution_of_thought:
            return request
        lesson = self._lessons.draw(int(request.parent.id), rng)
        if lesson is None:
            return request
        return replace(request, patch="thought", lesson=lesson, inspirations=(lesson.elite,))
