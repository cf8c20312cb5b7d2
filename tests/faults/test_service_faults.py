"""A language-model service that does everything wrong, in whole runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter

import pytest

from evolve import problem as problems
from evolve.config import update
from evolve.errors import RunError
from evolve.llm.client import RetryPolicy
from evolve.loop import start
from evolve.loop.conduct import conduct

PROGRAM = """
Prose with half a character \ud800 and a \x00 in it.
```python
import numpy as np

height = knob("height", {height:.3f}, low=0.0, high=2.0)


def approximate(x):
    half = np.where(x < np.pi, x, x - np.pi)
    return np.where(x < np.pi, 1, -1) * height * 4 * half * (np.pi - half) / np.pi**2
```
"""
PRICES = {"price_in_usd": 10.0, "price_out_usd": 20.0}
LATE = "no answer within 4 s"
USD_PER_CALL = (100 * 10 + 50 * 20) / 1e6


class Listener:
    """What a run says."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)

    def preparation(self, task, done, total): ...
    def update(self, status): ...
    def improvement(self, found): ...


@pytest.fixture
def play(terminal, monkeypatch, cache):
    """A function that runs the program example with these models and settings, and patience for one attempt a call."""
    monkeypatch.setenv("EVOLVE_CACHE", str(cache))
    monkeypatch.setattr("evolve.llm.client.RetryPolicy", lambda: RetryPolicy(attempts=1))

    def run(model, **settings):
        proposals = {"llm": "scripted", "diff": 0.0, "full": 1.0, "cross": 0.0, "attempts": 1, "concurrency": 1}
        quiet = {"scratchpad_every": 0, "prompt_archive": False}
        told = {
            "models": {"scripted": {**PRICES, **model}},
            "proposals": {**proposals, **quiet, **settings.pop("proposals", {})},
            "search": {"fix_probability": 0.0},
            "evaluation": {"workers": 1},
            **settings,
        }
        problem = problems.load(str(terminal.folder / "program"))
        intent = start.fresh(problem, update(problem.config(), told, "the test"), {}, terminal.runs, "p")
        listener = Listener()
        try:
            asyncio.run(conduct(intent, listener))
            error = None
        except Exception as raised:
            error = raised
        return listener, error

    return run


def rows(terminal, query):
    connection = sqlite3.connect(terminal.runs / "p" / "evolve.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def faults(server):
    """Each fault with what is written down of it."""
    reply, whole = server.Reply, server.Reply("no code").body("scripted")
    page = {"Content-Type": "text/html"}
    return {
        "reset": (reply(cut=True), "APIConnectionError"),
        "429": (reply(status=429), "answered 429"),
        "429 retry after": (reply(status=429, headers={"Retry-After": "3600"}), "answered 429"),
        "429 retry after nonsense": (reply(status=429, headers={"Retry-After": "soon"}), "answered 429"),
        "500": (reply(status=500), "answered 500"),
        "503 page": (reply(status=503, raw=b"<html>busy</html>", headers=page), "answered 503"),
        "half": (server.truncated_json("x" * 200), "no complete JSON"),
        "nothing": (reply(raw=b""), "no complete JSON"),
        "utf-16": (reply(raw="é".join(["{}", "{}"]).encode("utf-16")), "no complete JSON"),
        "latin-1": (reply(raw=whole.replace(b"no code", "hé".encode("latin-1"))), "no complete JSON"),
        "no gzip": (reply(raw=whole, headers={"Content-Encoding": "gzip"}), "APIConnectionError"),
        "enormous": (reply("x" * 200_000), "max_reply_bytes = 100000"),
        "endless": (reply("x" * 20_000, endless=0.0), "max_reply_bytes = 100000"),
        "endless and slow": (reply(raw=b" ", endless=0.05), LATE),
        "redirected": (reply(status=302, headers={"Location": "/v1/chat/completions"}), "answered 501"),
        "a list": (reply(raw=b"[]"), "empty"),
        "null": (reply(raw=b"null"), "empty"),
        "text": (reply(raw=b'"ok"'), "empty"),
        "page": (reply(raw=b"<html>login</html>", headers=page), "empty"),
        "no choices": (reply(raw=b'{"choices": 5}'), "TypeError"),
        "choices of text": (reply(raw=b'{"choices": "abc"}'), "empty"),
        "content of numbers": (reply(raw=b'{"choices": [{"message": {"content": 5}}]}'), "empty"),
        "deep": (reply(raw=b"[" * 50_000), "RecursionError"),
        "countless tokens": (reply("no code", tokens_in=10**30, tokens_out=1), "no code"),
        "tokens of text": (reply(raw=whole.replace(b": 100", b': "many"').replace(b": 50", b": -5")), "no code"),
    }  # fmt: skip


def test_each_fault_has_its_reason_and_its_price_and_the_run_goes_on(terminal, play, llm_server):
    known = faults(llm_server)
    waiting = [item for item in known.values() for item in (item[0], None)]
    heights = iter(range(1000))

    def answer(body):
        fault = waiting.pop(0) if waiting else None
        if fault is not None:
            return fault
        raw = json.dumps({
            "id": "1", "object": "chat.completion", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": PROGRAM.format(height=0.5 + 0.013 * next(heights))}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }).encode()  # fmt: skip
        return llm_server.Reply(raw=raw)

    with llm_server.serving(answer=answer) as script:
        model = {"api_base": script.url, "timeout_s": 4, "max_reply_bytes": 100_000}
        _, error = play(model, budget={"evaluations": 1 + len(known)})
    assert error is None
    assert rows(terminal, "SELECT state FROM run") == [("finished",)]
    states = dict(rows(terminal, "SELECT state, count(*) FROM proposals GROUP BY state"))
    calls = rows(terminal, "SELECT error, cost_usd, tokens_in, proposal_id FROM llm_calls ORDER BY id")
    failed = [call for call in calls if call[0] is not None]
    assert states == {"scored": 1 + len(known), "rejected": len(failed)}
    expected = Counter(said for _, said in known.values())
    found = Counter(next(said for said in expected if said in call[0]) for call in failed)
    # on a crowded machine any call may take too long, also one that would have met another fault
    late = found - expected
    assert set(late) <= {LATE}
    assert (expected - found).total() <= late.total()
    for error, cost, tokens, number in failed:
        assert "\n" not in error and len(error) < 500
        assert cost is None, "nobody knows what it cost"
        assert tokens is None or tokens == 100
        [(reason, cost)] = rows(terminal, f"SELECT reason, cost_usd FROM proposals WHERE id = {number}")
        assert reason in ("provider", "no_code")
        assert cost is None
    paid = [call[1] for call in calls if call[0] is None]
    assert paid == pytest.approx([USD_PER_CALL] * len(known))
    summary = terminal.summary("p")
    assert summary["cost_usd"] == pytest.approx(len(known) * USD_PER_CALL)
    assert summary["unknown_costs"] == len(failed)


def test_a_service_that_refuses_connections_stops_the_run_with_one_line(terminal, play, llm_server):
    with llm_server.serving() as script:
        gone = script.url
    _, error = play({"api_base": gone}, budget={"evaluations": 50})
    assert type(error).__name__ == "ProviderError"
    assert "Connection error" in str(error)
    assert "\n" not in str(error)
    assert rows(terminal, "SELECT state FROM run") == [("failed",)]
    assert rows(terminal, "SELECT count(*) FROM proposals WHERE state = 'rejected' AND reason = 'provider'") == [(12,)]
    assert not isinstance(error, RunError)
