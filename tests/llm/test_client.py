from __future__ import annotations

import asyncio
import email.utils
import subprocess
import sys
import time

import pytest

from evolve.errors import AuthenticationFailed, ProviderError
from evolve.llm.client import Client, RetryPolicy
from evolve.llm.completion import Message
from evolve.llm.models import ModelConfig

HELLO = [Message("system", "be brief"), Message("user", "hello")]


def ask(script, *, policy=None, temperature=None, **options):
    """The completion, and the waits between attempts (which are recorded, not slept)."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def main():
        config = ModelConfig("openai/scripted", api_base=script.url, **options)
        async with Client(policy or RetryPolicy(attempts=4), sleep=sleep, jitter=lambda: 1.0) as client:
            return await client.complete(config, HELLO, temperature=temperature)

    try:
        return asyncio.run(main()), waits
    except ProviderError as error:
        error.waits = waits
        raise


def test_a_good_reply(llm_server):
    with llm_server.serving("Guten Tag") as script:
        completion, waits = ask(script, temperature=0.4, max_tokens=77, reasoning_effort="low", extra={"top_k": 3})
    assert (completion.text, completion.tokens_in, completion.tokens_out) == ("Guten Tag", 100, 50)
    assert completion.cost_usd is None, "an endpoint without configured prices has no known cost"
    assert completion.model == "scripted" and completion.attempts == 1 and waits == []
    sent = script.requests[0]["body"]
    assert sent["model"] == "scripted" and sent["temperature"] == 0.4 and sent["max_tokens"] == 77
    assert sent["reasoning_effort"] == "low" and sent["top_k"] == 3
    assert sent["messages"][1] == {"role": "user", "content": "hello"}


def test_configured_prices(llm_server):
    with llm_server.serving("a", "b", llm_server.Reply("c", tokens_in=None)) as script:
        assert ask(script, price_in_usd=10.0, price_out_usd=20.0)[0].cost_usd == pytest.approx(0.002)
        assert ask(script, price_in_usd=0.0, price_out_usd=0.0)[0].cost_usd == 0.0
        assert ask(script, price_in_usd=10.0, price_out_usd=20.0)[0].cost_usd is None


def test_retry_after_is_honoured(llm_server):
    date = email.utils.formatdate(time.time() + 40, usegmt=True)
    limited = [llm_server.Reply(status=429, headers={"Retry-After": value}) for value in ("7", date)]
    with llm_server.serving(*limited, "fine") as script:
        completion, waits = ask(script)
    assert completion.text == "fine" and completion.attempts == 3
    assert waits[0] == 7.0
    assert 35 < waits[1] < 41


def test_backoff_doubles_on_server_errors(llm_server):
    with llm_server.serving(*[llm_server.Reply(status=status) for status in (500, 503, 502)], "fine") as script:
        completion, waits = ask(script)
    assert completion.attempts == 4 and waits == [1.0, 2.0, 4.0]


def test_jitter_shortens_a_wait_by_at_most_half():
    policy = RetryPolicy(first_wait_s=2.0, longest_wait_s=10.0)
    assert policy.wait_s(1, None, 0.0) == 1.0
    assert policy.wait_s(9, None, 1.0) == 10.0
    assert policy.wait_s(1, 5.0, 0.0) == 5.0


def test_attempts_end(llm_server):
    with llm_server.serving(default=llm_server.Reply(status=500)) as script:
        with pytest.raises(ProviderError, match=r"answered 500: .*after 4 attempts"):
            ask(script)
        assert len(script.requests) == 4


def test_too_long_a_retry_after_ends_the_attempts(llm_server):
    with llm_server.serving(llm_server.Reply(status=429, headers={"Retry-After": "3600"})) as script:
        with pytest.raises(ProviderError, match="asks to wait 3600 s"):
            ask(script)
        assert len(script.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_retried(llm_server, status, monkeypatch):
    monkeypatch.setenv("SCRIPTED_KEY", "wrong")
    with llm_server.serving(llm_server.Reply(status=status)) as script:
        with pytest.raises(AuthenticationFailed, match="set the environment variable SCRIPTED_KEY") as caught:
            ask(script, api_key_env="SCRIPTED_KEY")
        assert "\n" not in str(caught.value)
        assert len(script.requests) == 1
        assert script.requests[0]["headers"]["Authorization"] == "Bearer wrong"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_bad_request_is_not_retried(llm_server, status):
    with llm_server.serving(llm_server.Reply(status=status, message="context too long")) as script:
        with pytest.raises(ProviderError, match=f"answered {status}: .*context too long"):
            ask(script)
        assert len(script.requests) == 1


def test_an_empty_account_is_not_retried(llm_server):
    with llm_server.serving(llm_server.Reply(status=429, message="insufficient_quota: pay first")) as script:
        with pytest.raises(ProviderError, match="no credit left"):
            ask(script)
        assert len(script.requests) == 1


def test_a_timeout_is_retried(llm_server):
    with llm_server.serving(llm_server.Reply(hold=True), "late but fine") as script:
        completion, waits = ask(script, timeout_s=2.0)
    assert completion.text == "late but fine" and waits == [1.0]


def test_timeouts_end_with_the_limit_in_the_message(llm_server):
    with (
        llm_server.serving(default=llm_server.Reply(hold=True)) as script,
        pytest.raises(ProviderError, match=r"no answer within 0\.1 s"),
    ):
        ask(script, timeout_s=0.1, policy=RetryPolicy(attempts=2))


def test_truncated_json_is_retried(llm_server):
    with llm_server.serving(llm_server.truncated_json(), "whole") as script:
        completion, waits = ask(script)
    assert completion.text == "whole" and len(waits) == 1


def test_an_empty_reply_is_a_reply(llm_server):
    with llm_server.serving(llm_server.Reply(None), llm_server.Reply(raw=b'{"choices": []}')) as script:
        assert ask(script)[0].text == ""
        assert ask(script)[0].text == ""


def test_a_huge_reply_is_cut_off(llm_server):
    with llm_server.serving(llm_server.Reply("x" * 300_000)) as script:
        with pytest.raises(ProviderError, match="max_reply_bytes = 100000"):
            ask(script, max_reply_bytes=100_000)
        assert len(script.requests) == 1, "a reply that is too large would be too large again"


def test_a_closed_port_is_retried(llm_server):
    with llm_server.serving() as script:
        pass
    with pytest.raises(ProviderError, match="after 4 attempts") as caught:
        ask(script)
    assert len(caught.value.waits) == 3


def test_a_missing_key_sends_nothing(llm_server, monkeypatch):
    monkeypatch.delenv("SCRIPTED_KEY", raising=False)
    with llm_server.serving("never") as script:
        with pytest.raises(AuthenticationFailed):
            ask(script, api_key_env="SCRIPTED_KEY")
        assert script.requests == []


def test_calls_run_side_by_side(llm_server):
    with llm_server.serving(default=llm_server.Reply("ok")) as script:

        async def main() -> list[str]:
            config = ModelConfig("openai/scripted", api_base=script.url)
            async with Client() as client:
                found = await asyncio.gather(*(client.complete(config, HELLO) for _ in range(8)))
            return [completion.text for completion in found]

        assert asyncio.run(main()) == ["ok"] * 8


LITELLM = """
import asyncio, sys
from evolve.errors import AuthenticationFailed, ProviderError
from evolve.llm.client import Client, RetryPolicy
from evolve.llm.completion import Message
from evolve.llm.models import ModelConfig
from evolve.llm.litellm_backend import _litellm, _cost_usd

url = sys.argv[1]
async def no_wait(seconds): print("wait", seconds)

async def main():
    async with Client(RetryPolicy(attempts=3), sleep=no_wait, jitter=lambda: 1.0) as client:
        config = ModelConfig("openai/gpt-4o-mini", api_base=url, backend="litellm", api_key_env="SCRIPTED_KEY")
        done = await client.complete(config, [Message("user", "hello")], temperature=0.5)
        print("text", done.text, done.tokens_in, done.tokens_out, done.cost_usd, done.attempts)
        try:
            await client.complete(config, [Message("user", "hello")])
        except AuthenticationFailed as error:
            print("refused", error)
        try:
            await client.complete(config, [Message("user", "hello")])
        except ProviderError as error:
            print("bad", type(error).__name__)
        litellm = _litellm()
        ask = [{"role": "user", "content": "x"}]
        known = await litellm.acompletion("openai/gpt-4o-mini", ask, mock_response="y")
        print("priced", _cost_usd(litellm, known) is not None)
        unknown = await litellm.acompletion("openai/nobody-knows", ask, mock_response="y")
        print("unpriced", _cost_usd(litellm, unknown))

asyncio.run(main())
"""


def test_litellm_backend(llm_server, monkeypatch):
    monkeypatch.setenv("SCRIPTED_KEY", "k")
    replies = [
        llm_server.Reply(status=429, headers={"Retry-After": "3"}),
        "hi there",
        llm_server.Reply(status=401),
        llm_server.Reply(status=400),
    ]
    with llm_server.serving(*replies) as script:
        command = [sys.executable, "-c", LITELLM, script.url]
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert found.returncode == 0, found.stderr
        assert len(script.requests) == 4
    lines = [line for line in found.stdout.splitlines() if line.split(" ")[0] in WORDS]
    assert lines[0] == "wait 3.0"
    assert lines[1] == "text hi there 100 50 None 2", "a local endpoint is not billed at the vendor's price"
    assert lines[2].startswith("refused") and "SCRIPTED_KEY" in lines[2]
    assert lines[3:] == ["bad ProviderError", "priced True", "unpriced None"]


WORDS = {"wait", "text", "refused", "bad", "priced", "unpriced"}


def test_importing_the_client_is_light():
    code = "import sys, evolve.llm.client, evolve.propose.ensemble; print([m for m in %r if m in sys.modules])"
    heavy = ["litellm", "openai", "torch", "libcst", "jinja2", "httpx", "numpy"]
    found = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
