"""The prompt archive: variants of the advice in prompts, written by a language model and selected by their gains."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evolve.loop.asking import asked, writer
from evolve.loop.parts import Parts
from evolve.propose.prompts import shipped_advice, variant_prompt
from evolve.propose.reply import normalised
from evolve.search.variants import Variant, Variants
from evolve.store import learning
from evolve.strategies.base import Told
from evolve.strategies.credit import Credit

if TYPE_CHECKING:
    import numpy

PURPOSE = "prompt"
LIMIT = 600
"""Characters of a variant."""

_FENCE = re.compile(r"`{3}|~{3}|<{5,}|>{5,}|={5,}")


class PromptArchive:
    """Draws a variant for every proposal and asks for a new one every ``proposals.prompt_every`` evaluations.

    The shipped text is the first variant. All else follows from the database: ``tell`` it how proposals ended, in their
    order.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._every = parts.config.proposals.prompt_every
        self._variants = Variants(parts.config.proposals.prompt_variants)
        self._credit = Credit(self._variants.bandit)
        self._asking = False
        if not learning.prompts(parts.database.connection):
            parts.database.add_prompt(shipped_advice())
        self._numbers: dict[bytes, int] = {}
        for prompt in learning.prompts(parts.database.connection):
            self._numbers[_key(prompt.text)] = prompt.id
            if not prompt.retired:
                self._variants.add(Variant(prompt.id, prompt.text))
        self._last = learning.evaluations_at_newest_prompt(parts.database.connection)

    def draw(self, rng: numpy.random.Generator) -> str:
        """The advice of the next proposal."""
        return self._variants.draw(rng).text

    def number(self, advice: str) -> int | None:
        """The variant with this text."""
        return self._numbers.get(_key(advice))

    def tell(self, told: Told) -> None:
        """Credits the variant that an ended proposal was asked with; seeds set the baseline of gains."""
        prompt = learning.prompt_of(self._parts.database.connection, told.id)
        if prompt is not None or told.seed_name is not None:
            self._credit.tell(replace(told, arm=Variants.arm(prompt.id) if prompt is not None else ""))

    def due(self, evaluations: int) -> bool:
        """Whether so many evaluations ask for a new variant, and there is room for it."""
        room = not self._variants.full or self._variants.worst is not None
        return room and not self._asking and evaluations - self._last >= self._every

    def write(self, evaluations: int) -> Coroutine[Any, Any, None]:
        """One call; a text that cannot be used is left out until the next time."""
        self._asking, self._last = True, evaluations
        return self._write()

    async def _write(self) -> None:
        try:
            model = writer(self._parts.ensemble)
            reply = await asked(self._parts, model, PURPOSE, self._prompt()) if model is not None else None
            if reply is not None:
                self._keep(reply)
        finally:
            self._asking = False

    def _prompt(self) -> str:
        arms = self._variants.bandit.arms
        best = [(one.text, gain, arms[Variants.arm(one.id)].calls) for one, gain in self._variants.best(2)]
        return variant_prompt(best=best, task=self._parts.problem.task, limit=LIMIT)

    def _keep(self, reply: str) -> None:
        text = paragraph(reply)
        if (wrong := self._objection(text)) is not None:
            self._parts.observer.message(f"no new prompt variant: the reply {wrong}")
            return
        database = self._parts.database
        if self._variants.full and (worst := self._variants.worst) is not None:
            database.retire_prompt(worst)
            self._variants.retire(worst)
        origin = self._variants.best(1)
        number = database.add_prompt(text, origin[0][0].id if origin else None)
        self._numbers[_key(text)] = number
        self._variants.add(Variant(number, text))

    def _objection(self, text: str) -> str | None:
        if not text:
            return "is empty"
        if len(text) > LIMIT:
            return f"has {len(text)} characters, more than {LIMIT}"
        if _FENCE.search(text):
            return "holds a fence or a mark of an edit"
        if _key(text) in self._numbers:
            return "repeats a known variant"
        return None


def _key(text: str) -> bytes:
    # Short, since one is kept for each variant there ever was; no two differ in their case alone.
    return hashlib.blake2b(text.casefold().encode("utf-8", "replace"), digest_size=16).digest()


def paragraph(reply: str) -> str:
    """The reply as one paragraph without hidden reasoning, control characters and enclosing quotes."""
    text = " ".join(normalised(reply).split()).strip("\"'“” ")
    return "".join(char for char in text if char.isprintable())
