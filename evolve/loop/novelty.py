"""The gate before evaluation: programs that say what an earlier one said are turned away."""

from __future__ import annotations

import base64
import re
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evolve.errors import EvolveError, ProviderError
from evolve.llm.completion import Message
from evolve.llm.models import ModelConfig
from evolve.loop.lifecycle import Duplicate, Ticket
from evolve.loop.parts import Parts
from evolve.propose.language_model import LanguageModel
from evolve.propose.prompts import novelty_prompt
from evolve.store import recall
from evolve.store.records import LlmCall
from evolve.strategies.base import Ask

if TYPE_CHECKING:
    import numpy

    from evolve.search.novelty import Fingerprint, Index

REASON = "near_duplicate"
REMEMBERED = 4096
"""Scored programs that a resumed run is compared with, over all islands."""

TRIES = "near_duplicates"
"""Key of ``Ask.note``: how many proposals of this request were turned away before."""

_GONE = ("failed", "rejected", "abandoned", "duplicate")
_VERDICT = re.compile(r"\b(NOVEL|KNOWN)\b")


class NearDuplicate(Duplicate):
    """The program is too much like an earlier one of its island."""

    def __init__(self, original: int, similarity: float, measure: str) -> None:
        super().__init__(f"like program #{original}: {measure} similarity {similarity:.4f}", REASON, original)
        self.similarity = similarity


class Novelty:
    """Compares each program that is about to be evaluated with those of its island, cheap comparisons first.

    Source and plan digest have been compared before. Then come the words of the text among programs with the same
    numbers, for programs of language models their embeddings, and before these are turned away a judge, if one is
    configured. What no proposer wrote (seeds, numbers that an optimiser put into a text, ablations) is never turned
    away. Programs that failed since are forgotten: their repair is like them and yet new.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.config.novelty
        self._texts: dict[int, Index] = {}
        self._embeddings: dict[int, Index] = {}
        self._embedder = self._model(self._settings.embedding_model)
        self._judge = self._model(self._settings.judge_model)
        # The offline mutator alone never repeats itself in other words, and fingerprints cost a millisecond each.
        self._reads = self._settings.text_threshold > 0 and not parts.ensemble.offline_only
        if self._reads:
            for row in recall.texts(parts.database.connection, REMEMBERED):
                self._remember_text(row.id, row.island, self._fingerprint(row.source))
        if self._embedder is not None:
            for number, island, reply in recall.embeddings(
                parts.database.connection, self._embedder.served_name, REMEMBERED
            ):
                self._remember_embedding(number, island, _unpacked(reply))

    def _model(self, name: str) -> ModelConfig | None:
        """The model with this name, if there is one and a language model takes part in the run."""
        if not name or self._parts.ensemble.client is None:
            return None
        config = ModelConfig.from_table(name, self._parts.config.models.get(name, {}))
        config.key()  # a missing key is told before anything starts
        return config

    async def check(self, ticket: Ticket) -> None:
        """Lets a prepared program pass and remembers it, or raises NearDuplicate."""
        ask, source = ticket.ask, ticket.source or ""
        free = ask.proposer is None
        model = isinstance(ask.proposer, LanguageModel)
        found: NearDuplicate | None = None
        text = self._fingerprint(source) if self._reads else None
        if text is not None and not free:
            found = self._known_text(text, ask.island)
        vector: Sequence[float] | None = None
        if found is None and model and self._embedder is not None and self._settings.embedding_threshold > 0:
            vector = await self._embedded(ticket.id, source, self._embedder)
            found = self._known_embedding(vector, ask.island) if vector else None
        if found is not None and not (model and await self._judged_new(ticket.id, source, found)):
            raise found
        if text is not None:
            self._remember_text(ticket.id, ask.island, text)
        if vector:
            self._remember_embedding(ticket.id, ask.island, vector)

    def again(self, ticket: Ticket, result: object, rng: numpy.random.Generator) -> Ask | None:
        """The next try of a request whose program was turned away, told why; None for other results and after
        ``novelty.tries``."""
        ask = ticket.ask
        tried = int(ask.note.get(TRIES, 0)) + 1
        if not isinstance(result, NearDuplicate) or ask.request is None or tried >= self._settings.tries:
            return None
        advice = (
            f"The last proposal from this parent was turned away: {result}. Make a change that differs more from it "
            "than in names or in one line."
        )
        told = "\n".join(part for part in (ask.request.recommendations, advice) if part)
        request = replace(ask.request, seed=int(rng.integers(2**63)), recommendations=told)
        return replace(ask, request=request, note={**ask.note, TRIES: tried})

    # --- texts ---

    def _fingerprint(self, source: str) -> Fingerprint:
        from evolve.search.novelty import fingerprint

        return fingerprint(source)

    def _remember_text(self, number: int, island: int, text: Fingerprint) -> None:
        from evolve.search.novelty import Index

        self._texts.setdefault(island, Index()).add(number, text.words, _group(text.numbers))

    def _known_text(self, text: Fingerprint, island: int) -> NearDuplicate | None:
        index, group = self._texts.get(island), _group(text.numbers)
        return self._near(index, text.words, group, self._settings.text_threshold, "text")

    def _near(
        self, index: Index | None, vector: numpy.ndarray, group: int, threshold: float, measure: str
    ) -> NearDuplicate | None:
        while index is not None and (found := index.nearest(vector, group)) is not None:
            if found.similarity < threshold:
                return None
            if self._parts.database.program(found.id).state not in _GONE:
                return NearDuplicate(found.id, found.similarity, measure)
            index.remove(found.id)
        return None

    # --- embeddings and the judge ---

    async def _embedded(self, number: int, source: str, config: ModelConfig) -> tuple[float, ...] | None:
        """The program's embedding; None where the service fails, which must not cost the program its evaluation."""
        client = self._parts.ensemble.client
        assert client is not None, "a model is configured only where there is a client"
        try:
            found = await client.embed(config, source)
        except ProviderError as error:
            self._record(number, "embedding", config, source, None, error=error)
            return None
        call = (found.tokens_in, 0, found.cost_usd, found.seconds)
        self._record(number, "embedding", config, source, _packed(found.vector), call)
        return found.vector

    def _remember_embedding(self, number: int, island: int, vector: Sequence[float]) -> None:
        import numpy as np

        from evolve.search.novelty import Index

        self._embeddings.setdefault(island, Index(len(vector))).add(number, np.asarray(vector, dtype=np.float32))

    def _known_embedding(self, vector: Sequence[float], island: int) -> NearDuplicate | None:
        import numpy as np

        index, numbers = self._embeddings.get(island), np.asarray(vector, dtype=np.float32)
        return self._near(index, numbers, 0, self._settings.embedding_threshold, "embedding")

    async def _judged_new(self, number: int, source: str, found: NearDuplicate) -> bool:
        """Whether a judge finds the program meaningfully different; without a judge, or a clear word of it, not."""
        client, config = self._parts.ensemble.client, self._judge
        if config is None or client is None:
            return False
        other = self._parts.database.program(found.original).source or ""
        prompt = novelty_prompt(other, source)
        try:
            reply = await client.complete(config, [Message("user", prompt)], temperature=0.0)
        except ProviderError as error:
            self._record(number, "judge", config, prompt, None, error=error)
            return False
        call = (reply.tokens_in, reply.tokens_out, reply.cost_usd, reply.seconds)
        self._record(number, "judge", config, prompt, reply.text, call)
        verdicts = _VERDICT.findall(reply.text.upper())
        return bool(verdicts) and verdicts[-1] == "NOVEL"

    def _record(
        self, number: int, purpose: str, config: ModelConfig, prompt: str, reply: str | None,
        call: tuple[int | None, int | None, float | None, float] = (None, None, None, 0.0),
        error: EvolveError | None = None,
    ) -> None:  # fmt: skip
        provider = config.api_base or config.id.partition("/")[0]
        row = LlmCall(
            provider, config.served_name, prompt, reply, call[3], *call[:3], str(error) if error else None, purpose
        )
        self._parts.database.add_llm_calls(number, [row])


def _group(numbers: tuple[float, ...]) -> int:
    """One number for a program's numbers; different ones rarely share it."""
    return zlib.crc32(repr(numbers).encode())


def _packed(vector: Sequence[float]) -> str:
    """A vector as text for the database: base64 of float32."""
    return base64.b64encode(array("f", vector).tobytes()).decode()


def _unpacked(text: str) -> tuple[float, ...]:
    values = array("f")
    values.frombytes(base64.b64decode(text))
    return tuple(values)
