"""A language model as a proposer: render, call, parse, and tell it what was wrong with its reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolve.errors import NoCodeError, PatchError, ProviderError, UsageError
from evolve.llm.completion import Completion, Message
from evolve.llm.models import ModelConfig
from evolve.propose.base import PATCHES, Call, Patch, Proposal, ProposalRequest, with_calls

if TYPE_CHECKING:
    import numpy

    from evolve.llm.client import Client

MAX_ECHO_CHARACTERS = 20_000
"""How much of a bad reply is sent back with the reason."""


@dataclass(frozen=True)
class PatchMix:
    """Relative frequencies of the kinds of edit; ``cross`` counts only where there is a mate."""

    diff: float = 0.6
    full: float = 0.3
    cross: float = 0.1

    def __post_init__(self) -> None:
        if min(self.diff, self.full, self.cross) < 0 or self.diff + self.full <= 0:
            raise UsageError(f"the mix of patches {self} needs numbers of at least 0, diff or full above 0")

    def choose(self, request: ProposalRequest, rng: numpy.random.Generator) -> Patch:
        """``fix`` for a failed parent, else the requested kind, ``cross`` with a mate, or a kind by its frequency."""
        if request.parent.error is not None:
            return "fix"
        if request.patch == "cross" and request.mate is None:
            return "diff"
        if request.patch is not None:
            return request.patch
        if request.mate is not None and self.cross > 0:
            return "cross"
        return "diff" if rng.random() * (self.diff + self.full) < self.diff else "full"


class LanguageModel:
    """Proposes by asking one model. The client is shared and stays open."""

    patches: tuple[Patch, ...] = PATCHES

    def __init__(self, config: ModelConfig, client: Client, mix: PatchMix | None = None, attempts: int = 3) -> None:
        if attempts < 1:
            raise UsageError(f"proposals.attempts must be at least 1, not {attempts}")
        self._config = config
        self._client = client
        self._mix = mix or PatchMix()
        self._attempts = attempts

    @property
    def name(self) -> str:
        return self._config.id

    async def propose(self, request: ProposalRequest) -> Proposal:
        """The child that the model writes; a reply that does not apply is answered with the reason and asked again.

        So is, once, a program that the run knows already; the next such reply is returned as it is.

        Raises the last PatchError or NoCodeError when no attempt applies, ProviderError when the service fails; both
        carry the calls made so far.
        """
        from evolve.propose.patch import apply_reply
        from evolve.propose.prompts import retry_prompt, system_prompt, user_prompt
        from evolve.propose.reply import description_of, normalised

        rng = request.generator()
        patch = self._mix.choose(request, rng)
        temperature = float(rng.choice(self._config.temperatures)) if self._config.temperatures else None
        opening = [Message("system", system_prompt(request)), Message("user", user_prompt(request, patch))]
        messages, calls, warned = opening, list[Call](), False
        for attempt in range(1, self._attempts + 1):
            completion = await self._ask(messages, temperature, calls)
            last = attempt == self._attempts
            try:
                source = apply_reply(request.parent.source, completion.text, patch)
            except (PatchError, NoCodeError) as error:
                calls.append(self._call(messages, completion, str(error)))
                if last:
                    raise with_calls(error, calls) from None
                fault = str(error)
            else:
                lazy = None if warned or last else _lazy(request, source)
                calls.append(self._call(messages, completion, lazy))
                if lazy is None:
                    description = description_of(normalised(completion.text)) or f"{patch} by {self.name}"
                    return Proposal(source, description, patch, self.name, tuple(calls))
                fault, warned = lazy, True
            echo = completion.text[:MAX_ECHO_CHARACTERS] or "(empty reply)"
            messages = [*opening, Message("assistant", echo), Message("user", retry_prompt(fault, patch))]
        raise AssertionError("the last attempt returns or raises")

    async def answer(self, messages: list[Message]) -> Call:
        """The recorded call of a question that is no request for a program.

        Raises ProviderError, carrying the call, when the service fails.
        """
        return self._call(messages, await self._ask(messages, None, []), None)

    async def _ask(self, messages: list[Message], temperature: float | None, calls: list[Call]) -> Completion:
        try:
            return await self._client.complete(self._config, messages, temperature=temperature)
        except ProviderError as error:
            failed = Completion("", None, None, None, 0.0, self._config.served_name)
            raise with_calls(error, [*calls, self._call(messages, failed, str(error))]) from None

    def _call(self, messages: list[Message], completion: Completion, error: str | None) -> Call:
        return Call(
            provider=self._config.api_base or self._config.id.partition("/")[0],
            model=completion.model,
            prompt="\n\n".join(f"[{message.role}]\n{message.content}" for message in messages),
            reply=completion.text,
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            cost_usd=completion.cost_usd,
            seconds=completion.seconds,
            error=error,
        )


def _lazy(request: ProposalRequest, source: str) -> str | None:
    """Why a program is no new one; None for a new one."""
    number = request.known(source) if request.known is not None else None
    if number is None:
        return None
    which = "the one shown" if str(number) == request.parent.id else f"#{number}, which has been tried"
    return f"the same program as {which} (comments and layout aside); write another one"
