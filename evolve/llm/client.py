"""The one place where calls of language models are retried, timed and priced."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evolve.errors import ProviderError
from evolve.llm.completion import Backend, Completion, Message
from evolve.llm.embedding import Embedding
from evolve.llm.failures import Diagnosis, diagnose
from evolve.llm.models import BackendName, ModelConfig

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """Up to ``attempts`` calls; the wait doubles from ``first_wait_s`` to at most ``longest_wait_s``, with jitter.

    A Retry-After longer than ``longest_wait_s`` ends the attempts.
    """

    attempts: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def wait_s(self, failures: int, retry_after_s: float | None, jitter: float) -> float:
        """Seconds before the next attempt after ``failures`` failures; ``jitter`` is uniform in 0..1."""
        backoff = min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s) * (0.5 + 0.5 * jitter)
        return max(backoff, retry_after_s or 0.0)


class Client:
    """Asks any configured model. Holds connections: use it as ``async with Client() as client`` or call ``aclose``."""

    def __init__(
        self,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry or RetryPolicy()
        self._sleep = sleep
        self._jitter = jitter
        self._backends: dict[BackendName, Backend] = {}

    async def complete(
        self,
        config: ModelConfig,
        messages: Sequence[Message],
        *,
        temperature: float | None = None,
        timeout_s: float | None = None,
    ) -> Completion:
        """The model's reply.

        Retries 429, 5xx, timeouts, broken connections and broken JSON. Raises AuthenticationFailed for 401 and 403,
        ProviderError for everything else and when the attempts are used up.
        """
        started = time.monotonic()
        found, attempts = await self._retried(
            config, timeout_s, lambda backend: backend.ask(config, list(messages), temperature)
        )
        cost = config.cost_usd(found.tokens_in, found.tokens_out)
        return Completion(
            text=found.text,
            tokens_in=found.tokens_in,
            tokens_out=found.tokens_out,
            cost_usd=found.cost_usd if cost is None else cost,
            seconds=time.monotonic() - started,
            model=found.model,
            attempts=attempts,
        )

    async def embed(self, config: ModelConfig, text: str, *, timeout_s: float | None = None) -> Embedding:
        """The vector of a text, from a service's embedding model. Retries and raises as ``complete`` does."""
        started = time.monotonic()
        found, attempts = await self._retried(config, timeout_s, lambda backend: backend.embed(config, text))
        return replace(found, seconds=time.monotonic() - started, attempts=attempts)

    async def _retried(
        self, config: ModelConfig, timeout_s: float | None, call: Callable[[Backend], Awaitable[T]]
    ) -> tuple[T, int]:
        """What the call gives, and how many attempts it took."""
        config.key()  # a missing key is told before anything is imported or sent
        limit_s = timeout_s or config.timeout_s
        for attempt in range(1, self._retry.attempts + 1):
            found = await self._attempt(config, limit_s, call)
            if not isinstance(found, Diagnosis):
                return found, attempt
            await self._wait(found, attempt)
        raise AssertionError("the last failed attempt raises")

    async def _attempt(
        self, config: ModelConfig, limit_s: float, call: Callable[[Backend], Awaitable[T]]
    ) -> T | Diagnosis:
        """One call; the boundary at which any exception of a client library becomes a Diagnosis."""
        backend = await self._backend(config.backend_name)
        try:
            async with asyncio.timeout(limit_s):
                return await call(backend)
        except Exception as error:
            cause = error.__cause__ if isinstance(error.__cause__, ProviderError) else error
            return diagnose(cause, config)

    async def _wait(self, found: Diagnosis, failures: int) -> None:
        wait_s = self._retry.wait_s(failures, found.retry_after_s, self._jitter())
        if not found.transient:
            raise found.error
        if failures >= self._retry.attempts:
            raise type(found.error)(f"{found.error} (after {failures} attempts)")
        if wait_s > self._retry.longest_wait_s:
            raise type(found.error)(f"{found.error} (asks to wait {wait_s:g} s, longer than this client waits)")
        await self._sleep(wait_s)

    async def _backend(self, name: BackendName) -> Backend:
        if name not in self._backends:
            made = await asyncio.to_thread(_make, name)
            return self._backends.setdefault(name, made)  # another task may have been faster
        return self._backends[name]

    async def aclose(self) -> None:
        """Closes the connections of all backends."""
        for backend in self._backends.values():
            await backend.aclose()
        self._backends.clear()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _make(name: BackendName) -> Backend:
    if name == "openai":
        from evolve.llm.openai_backend import OpenAIBackend

        return OpenAIBackend()
    from evolve.llm.litellm_backend import LiteLLMBackend

    return LiteLLMBackend()
