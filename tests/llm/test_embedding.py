"""Embeddings over real HTTP on the loopback."""

from __future__ import annotations

import asyncio
import json

import pytest

from evolve.errors import ProviderError
from evolve.llm.client import Client, RetryPolicy
from evolve.llm.models import ModelConfig


def reply(llm_server, vector, usage=True):
    data = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector}], "model": "served"}
    if usage:
        data["usage"] = {"prompt_tokens": 7, "total_tokens": 7}
    return llm_server.Reply(raw=json.dumps(data).encode())


def embed(llm_server, *replies, **settings):
    async def ask(url):
        config = ModelConfig("openai/vectors", api_base=url, **settings)
        async with Client(RetryPolicy(attempts=2, first_wait_s=0.0)) as client:
            return await client.embed(config, "a text")

    with llm_server.serving(*replies) as script:
        return asyncio.run(ask(script.url)), script.requests


@pytest.mark.parametrize("backend", ["openai", "litellm"])
def test_a_vector_comes_back_at_length_one_with_its_price(llm_server, backend, monkeypatch):
    monkeypatch.setenv("ANY_KEY", "k")
    found, requests = embed(
        llm_server, reply(llm_server, [3.0, 0.0, 4.0]), price_in_usd=2.0, price_out_usd=9.0, backend=backend,
        api_key_env="ANY_KEY",
    )  # fmt: skip
    assert found.vector == pytest.approx((0.6, 0.0, 0.8))
    assert (found.tokens_in, found.cost_usd, found.attempts) == (7, pytest.approx(14e-6), 1)
    assert requests[0]["path"] == "/v1/embeddings"
    assert requests[0]["body"]["model"] == "vectors"
    assert requests[0]["body"]["input"] in ("a text", ["a text"])


def test_an_unknown_price_stays_unknown_and_a_broken_call_is_repeated(llm_server):
    broken = llm_server.Reply(status=500)
    found, requests = embed(llm_server, broken, reply(llm_server, [1.0], usage=False))
    assert (found.tokens_in, found.cost_usd, found.attempts) == (None, None, 2)
    assert len(requests) == 2


@pytest.mark.parametrize("vector", [[], "text", [0.0, 0.0]])
def test_a_reply_without_a_vector_is_a_clear_error(llm_server, vector):
    with pytest.raises(ProviderError, match=r"openai/vectors: .*embedding"):
        embed(llm_server, reply(llm_server, vector))
