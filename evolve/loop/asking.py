"""Questions to a language model that are asked for the run and not for one program."""

from __future__ import annotations

from collections.abc import Iterable

from evolve.errors import ProviderError
from evolve.llm.completion import Message
from evolve.loop.parts import Parts
from evolve.propose.base import Call, calls_of
from evolve.propose.ensemble import Ensemble
from evolve.propose.language_model import LanguageModel
from evolve.store.records import LlmCall


def writer(ensemble: Ensemble) -> LanguageModel | None:
    """The language model with the largest weight, the first of equals; None where none takes part."""
    models = [(arm.weight, arm.proposer) for arm in ensemble.arms if isinstance(arm.proposer, LanguageModel)]
    return max(models, key=lambda one: one[0])[1] if models else None


async def asked(parts: Parts, model: LanguageModel, purpose: str, prompt: str) -> str | None:
    """The model's reply; None, and a message to the observer, where the service fails.

    The call is stored either way.
    """
    try:
        call = await model.answer([Message("user", prompt)])
    except ProviderError as error:
        parts.database.add_llm_calls(None, records(calls_of(error), purpose))
        parts.observer.message(f"no new {purpose} from {model.name}, it is asked for again later: {error}")
        return None
    parts.database.add_llm_calls(None, records([call], purpose))
    return call.reply


def records(calls: Iterable[Call], purpose: str) -> list[LlmCall]:
    """Calls as the database keeps them."""
    return [
        LlmCall(
            c.provider, c.model, c.prompt, c.reply, c.seconds, c.tokens_in, c.tokens_out, c.cost_usd, c.error, purpose
        )
        for c in calls
    ]
