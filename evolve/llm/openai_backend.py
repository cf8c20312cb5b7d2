"""OpenAI-compatible endpoints (vLLM, llama.cpp, Ollama, proxies) through the openai client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai

from evolve.llm.completion import Answer, Message
from evolve.llm.embedding import Embedding, embedding_of
from evolve.llm.failures import ReplyTooLarge
from evolve.llm.models import ModelConfig, token_count

NO_KEY = "none"
"""Sent where the endpoint needs no key; the client insists on one."""


class _BoundedStream(httpx.AsyncByteStream):
    """A reply body that stops once it grows past the limit."""

    def __init__(self, stream: httpx.AsyncByteStream, limit_bytes: int) -> None:
        self._stream = stream
        self._limit_bytes = limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._stream:
            total += len(chunk)
            if total > self._limit_bytes:
                raise ReplyTooLarge(f"the reply exceeds max_reply_bytes = {self._limit_bytes}; the call was cut off")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _BoundedTransport(httpx.AsyncHTTPTransport):
    """An HTTP transport that never reads more than ``limit_bytes`` of a reply."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limits=httpx.Limits(max_connections=256))
        self._limit_bytes = limit_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream), "an asynchronous transport has asynchronous bodies"
        response.stream = _BoundedStream(response.stream, self._limit_bytes)
        return response


class OpenAIBackend:
    """Keeps one client per endpoint and key; retries are left to the caller."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str, int], openai.AsyncOpenAI] = {}

    def _client(self, config: ModelConfig) -> openai.AsyncOpenAI:
        assert config.api_base is not None, "ModelConfig gives this backend only models with an endpoint"
        key = (config.api_base, config.key() or NO_KEY, config.max_reply_bytes)
        if key not in self._clients:
            http = httpx.AsyncClient(transport=_BoundedTransport(config.max_reply_bytes), follow_redirects=True)
            self._clients[key] = openai.AsyncOpenAI(base_url=key[0], api_key=key[1], max_retries=0, http_client=http)
        return self._clients[key]

    async def ask(self, config: ModelConfig, messages: list[Message], temperature: float | None) -> Answer:
        """One chat completion."""
        options: dict[str, Any] = {"max_tokens": config.max_tokens}
        if temperature is not None:
            options["temperature"] = temperature
        if config.reasoning_effort is not None:
            options["reasoning_effort"] = config.reasoning_effort
        reply: Any = await self._client(config).chat.completions.create(
            model=config.served_name,
            messages=[message.to_dict() for message in messages],  # type: ignore[misc]
            timeout=config.timeout_s,
            extra_body=config.extra or None,
            **options,
        )
        return answer_of(reply, config, cost_usd=None)

    async def embed(self, config: ModelConfig, text: str) -> Embedding:
        """One text's embedding."""
        reply: Any = await self._client(config).embeddings.create(
            model=config.served_name,
            input=text,
            encoding_format="float",
            timeout=config.timeout_s,
            extra_body=config.extra or None,
        )
        return embedding_of(reply, config, cost_usd=None)

    async def aclose(self) -> None:
        """Closes all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def answer_of(reply: Any, config: ModelConfig, cost_usd: float | None) -> Answer:
    """A chat completion as an Answer; a service may leave out usage, and a refusal has no content."""
    choices = getattr(reply, "choices", None)
    content = getattr(getattr(choices[0], "message", None), "content", None) if choices else None
    usage = getattr(reply, "usage", None)
    return Answer(
        text=content if isinstance(content, str) else "",
        tokens_in=token_count(getattr(usage, "prompt_tokens", None)),
        tokens_out=token_count(getattr(usage, "completion_tokens", None)),
        cost_usd=cost_usd,
        model=str(getattr(reply, "model", None) or config.served_name),
    )
