"""Strategies that ask proposers: repeated sampling, and the language model that writes the next mean."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from evolve.errors import ProviderError, UsageError
from evolve.llm.client import Client, RetryPolicy
from evolve.propose.base import calls_of
from evolve.propose.ensemble import Ensemble
from evolve.propose.mutator.literals import knob_values
from evolve.strategies.base import Told
from evolve.strategies.evollm import read
from evolve.strategies.registry import make

MODEL = "openai/scripted"


def seed_told(number, setting, name, score):
    return Told(number, "problem", {}, setting.seeds[name], score, seed_name=name, patch="seed")


def propose_all(script, setting, body, options=None):
    """Runs ``body(strategy)`` with an ensemble that asks the scripted server."""

    async def no_wait(seconds):
        pass

    async def main():
        async with Client(RetryPolicy(attempts=1), sleep=no_wait) as client:
            models = {MODEL: {"api_base": script.url, "price_in_usd": 1.0, "price_out_usd": 2.0}}
            ensemble = Ensemble.parse(MODEL, models, client=client)
            return await body(make("evollm", setting(ensemble=ensemble, options=options or {})))

    return asyncio.run(main())


def tell_member(strategy, number, ja, math, score):
    template = strategy.ask(np.random.default_rng(0)).request.parent.source
    source = template.replace('"ja_weight", 0.5', f'"ja_weight", {ja}').replace(
        '"math_weight", 0.5', f'"math_weight", {math}'
    )
    strategy.tell(Told(number, "evollm", {}, source, score))


def members_first(strategy):
    """Three members, and the rest of the first mean's samples asked for."""
    tell_member(strategy, 1, 0.3, 0.6, 0.25)
    tell_member(strategy, 2, 1.5, 0.0, 0.75)
    tell_member(strategy, 3, 0.0, 1.5, 0.5)
    for _ in range(2):
        strategy.ask(np.random.default_rng(0))


def test_repeated_changes_seeds_alone(setting):
    given = setting()
    strategy = make("repeated", given)
    assert strategy.ask(np.random.default_rng(0)) is None, "no seed has a score yet"
    strategy.tell(seed_told(1, given, "plain", 0.2))
    strategy.tell(seed_told(2, given, "tuned", 0.4))
    strategy.tell(Told(3, "offline", {}, "child", 0.9, parent=2))
    asks = [strategy.ask(np.random.default_rng(number)) for number in range(40)]
    assert {ask.parent for ask in asks} == {1, 2}
    assert all(not (ask.request.mate or ask.request.relatives or ask.request.inspirations) for ask in asks)
    ask = next(ask for ask in asks if ask.parent == 2)
    made = asyncio.run(ask.proposer.propose(ask.request))
    assert made.source != given.seeds["tuned"] and "def merge" in made.source


def test_repeated_from_the_best_seed(setting):
    given = setting(options={"parent": "best"}, kind="program", donors={}, base=None)
    strategy = make("repeated", given)
    strategy.tell(seed_told(1, given, "plain", -0.2))
    strategy.tell(seed_told(2, given, "tuned", -0.4))
    strategy.tell(Told(3, "problem", {}, "x", None, seed_name="broken", state="failed"))
    assert {strategy.ask(np.random.default_rng(number)).parent for number in range(20)} == {1}


def test_the_first_samples_need_no_call(llm_server, setting):
    async def body(strategy):
        ask = strategy.ask(np.random.default_rng(1))
        return await ask.proposer.propose(ask.request)

    with llm_server.serving() as script:
        made = propose_all(script, setting, body)
    assert script.requests == [] and made.calls == ()
    assert 0 <= knob_values(made.source)["ja_weight"][0] <= 1.5


def test_one_mean_serves_its_samples(llm_server, setting):
    async def body(strategy):
        members_first(strategy)
        asks = [strategy.ask(np.random.default_rng(number)) for number in range(5)]
        return await asyncio.gather(*(ask.proposer.propose(ask.request) for ask in asks))

    with llm_server.serving("I move on.\n600, 200.") as script:
        made = propose_all(script, setting, body, {"sigma": 0.01})
    (request,) = script.requests
    text = request["body"]["messages"][1]["content"]
    order = [text.index(line) for line in ("200, 400 -> 0.25", "0, 1000 -> 0.5", "1000, 0 -> 0.75")]
    assert order == sorted(order), "worst first"
    assert sorted(len(one.calls) for one in made) == [0, 0, 0, 0, 1]
    (call,) = (call for one in made for call in one.calls)
    assert call.reply.endswith("600, 200.") and call.cost_usd == pytest.approx(0.0002)
    values = [knob_values(one.source) for one in made]
    assert len({one["ja_weight"] for one in values}) == 5
    assert np.mean([one["ja_weight"] for one in values]) == pytest.approx(0.9, abs=0.05)
    assert np.mean([one["math_weight"] for one in values]) == pytest.approx(0.3, abs=0.05)


def test_blocks_are_asked_for_one_after_the_other(llm_server, setting):
    async def body(strategy):
        members_first(strategy)
        ask = strategy.ask(np.random.default_rng(0))
        return await ask.proposer.propose(ask.request)

    with llm_server.serving("100", "900") as script:
        made = propose_all(script, setting, body, {"block": 1, "sigma": 1e-6})
    assert [len(made.calls), len(script.requests)] == [2, 2]
    found = knob_values(made.source)
    assert found["ja_weight"][0] == pytest.approx(0.15, abs=0.01) and found["math_weight"][0] == pytest.approx(
        1.35, abs=0.01
    )


def test_without_a_readable_reply_the_mean_is_the_best_member(llm_server, setting):
    async def body(strategy):
        members_first(strategy)
        ask = strategy.ask(np.random.default_rng(0))
        return await ask.proposer.propose(ask.request)

    with llm_server.serving("no", "1, 2, 3", "5000, 1") as script:
        made = propose_all(script, setting, body, {"sigma": 1e-6})
    assert len(made.calls) == 3 and "exactly 2 integers" in script.requests[1]["body"]["messages"][3]["content"]
    found = knob_values(made.source)
    assert found["ja_weight"][0] == pytest.approx(1.5, abs=0.01) and found["math_weight"][0] == pytest.approx(
        0.0, abs=0.01
    )


def test_a_failing_service_is_told_with_its_calls_and_asked_again(llm_server, setting):
    async def body(strategy):
        members_first(strategy)
        asks = [strategy.ask(np.random.default_rng(number)) for number in range(2)]
        with pytest.raises(ProviderError) as caught:
            await asks[0].proposer.propose(asks[0].request)
        assert [call.reply for call in calls_of(caught.value)] == ["100", ""]
        return await asks[1].proposer.propose(asks[1].request), asks[1].proposer.name

    with llm_server.serving("100", llm_server.Reply(status=500), "200", "300") as script:
        made, name = propose_all(script, setting, body, {"block": 1})
    assert len(made.calls) == 2 and name == MODEL


def test_members_are_restored_from_what_was_told(llm_server, setting):
    async def body(strategy):
        members_first(strategy)
        tell_member(strategy, 4, 0.75, 0.75, None)
        return [(point.tolist(), score) for point, score in strategy.members]

    with llm_server.serving() as script:
        first, second = (propose_all(script, setting, body) for _ in range(2))
    assert first == second == [([1.0, 0.0], 0.75), ([0.0, 1.0], 0.5), ([pytest.approx(0.2), pytest.approx(0.4)], 0.25)]


def test_a_language_model_is_needed(setting):
    with pytest.raises(UsageError, match="asks a language model"):
        make("evollm", setting())


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("500, 250", [0.5, 0.25]),
        ("first 1, 2\nthen 0,1000.", [0.0, 1.0]),
        ("[10, 20]", [0.01, 0.02]),
        ("-500, 250", None),
        ("0.5, 0.25", None),
        ("500, 250, 100", None),
        ("1001, 3", None),
        ("", None),
    ],
)
def test_reading_a_mean(reply, found):
    answer = read(reply, 2)
    assert (answer if answer is None else answer.tolist()) == found
