"""What prompts of language models carry beyond one program: the run's recommendations and a variant of the advice."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evolve.loop.asking import writer
from evolve.loop.parts import Parts
from evolve.loop.prompt_archive import PromptArchive
from evolve.loop.scratchpad import Scratchpad
from evolve.propose.language_model import LanguageModel
from evolve.strategies.base import Ask, Told

if TYPE_CHECKING:
    import numpy


class Learning:
    """Scratchpad and prompt archive of a run; without a language model it has neither and does nothing."""

    def __init__(self, parts: Parts) -> None:
        settings, takes_part = parts.config.proposals, writer(parts.ensemble) is not None
        self._scratchpad = Scratchpad(parts) if takes_part and settings.scratchpad_every else None
        self._prompts = PromptArchive(parts) if takes_part and settings.prompt_archive else None
        self._sources = [one for one in (self._scratchpad, self._prompts) if one is not None]
        self._parts = parts

    def informed(self, ask: Ask, rng: numpy.random.Generator) -> Ask:
        """The same proposal with what the run has learned in its request; ``rng`` draws for language models only."""
        request = ask.request
        if request is None or not isinstance(ask.proposer, LanguageModel):
            return ask
        if self._scratchpad is not None:
            request = replace(request, recommendations=self._scratchpad.text)
        # What is asked of a repair and of a thought leaves no room for advice.
        guided = request.patch in ("fix", "thought") or request.parent.error is not None
        if self._prompts is not None and not guided:
            request = replace(request, advice=self._prompts.draw(rng))
        return replace(ask, request=request)

    def prompt_id(self, ask: Ask) -> int | None:
        """The variant of the advice in a proposal's request."""
        return self._prompts.number(ask.request.advice) if self._prompts is not None and ask.request else None

    def tell(self, told: Told) -> None:
        """How a proposal ended; a resumed run tells everything of the past first."""
        if self._prompts is not None:
            self._prompts.tell(told)

    def due(self, evaluations: int) -> Iterator[Coroutine[Any, Any, None]]:
        """The calls to be made after so many evaluations; each is to be awaited, or cancelled, beside the proposals."""
        if writer(self._parts.ensemble) is None:  # it may have been left out on the way
            return
        for source in self._sources:
            if source.due(evaluations):
                yield source.write(evaluations)
