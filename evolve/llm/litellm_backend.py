"""Any model id that litellm knows."""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from typing import Any

from evolve.llm.completion import Answer, Message
from evolve.llm.embedding import Embedding, embedding_of
from evolve.llm.failures import ReplyTooLarge
from evolve.llm.models import ModelConfig
from evolve.llm.openai_backend import answer_of


@lru_cache(maxsize=1)
def _litellm() -> Any:
    """The library, imported on first use (about 4 s) without fetching its price table from the network."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.drop_params = True
    litellm.telemetry = False
    return litellm


class LiteLLMBackend:
    """Calls ``litellm.acompletion``; retries are left to the caller."""

    async def ask(self, config: ModelConfig, messages: list[Message], temperature: float | None) -> Answer:
        """One chat completion, priced by litellm's table unless the model lives at an endpoint of its own."""
        litellm = await asyncio.to_thread(_litellm)
        options: dict[str, Any] = {**config.extra, "max_tokens": config.max_tokens}
        for name, value in (
            ("temperature", temperature),
            ("reasoning_effort", config.reasoning_effort),
            ("api_base", config.api_base),
            ("api_key", config.key()),
        ):
            if value is not None:
                options[name] = value
        reply = await litellm.acompletion(
            model=config.served_name,
            messages=[message.to_dict() for message in messages],
            timeout=config.timeout_s,
            num_retries=0,
            max_retries=0,
            **options,
        )
        answer = answer_of(reply, config, None if config.api_base else _cost_usd(litellm, reply))
        if len(answer.text.encode()) > config.max_reply_bytes:
            raise ReplyTooLarge(f"the reply exceeds max_reply_bytes = {config.max_reply_bytes}")
        return answer

    async def embed(self, config: ModelConfig, text: str) -> Embedding:
        """One text's embedding, priced as completions are."""
        litellm = await asyncio.to_thread(_litellm)
        given = {"api_base": config.api_base, "api_key": config.key()}
        reply = await litellm.aembedding(
            model=config.served_name,
            input=[text],
            timeout=config.timeout_s,
            num_retries=0,
            max_retries=0,
            **{name: value for name, value in given.items() if value is not None},
            **config.extra,
        )
        return embedding_of(reply, config, None if config.api_base else _cost_usd(litellm, reply))

    async def aclose(self) -> None:
        """Closes litellm's shared connections."""
        if _litellm.cache_info().currsize:
            await _litellm().close_litellm_async_clients()


def _cost_usd(litellm: Any, reply: Any) -> float | None:
    """litellm's price of a call, None when its table lacks the model (it then may say 0)."""
    hidden = getattr(reply, "_hidden_params", None) or {}
    cost = hidden.get("response_cost")
    if cost is None or (cost == 0 and getattr(reply, "model", None) not in litellm.model_cost):
        return None
    return float(cost)
