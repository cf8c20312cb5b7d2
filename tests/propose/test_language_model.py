from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from evolve.errors import AuthenticationFailed, NoCodeError, PatchError, ProviderError, UsageError
from evolve.llm.client import Client, RetryPolicy
from evolve.llm.models import ModelConfig
from evolve.propose.base import Failure, Lesson, Parent, ProposalRequest, calls_of
from evolve.propose.blocks import outside
from evolve.propose.language_model import LanguageModel, PatchMix

GOOD = """Idea: more Japanese
<<<<<<< SEARCH
ja_weight = knob("ja_weight", 0.5, low=0.0, high=1.5)
=======
ja_weight = knob("ja_weight", 0.8, low=0.0, high=1.5)
>>>>>>> REPLACE
"""
BAD = GOOD.replace("0.5", "0.55")


def propose(script, request, **options):
    async def no_wait(seconds: float) -> None:
        pass

    async def main():
        prices = {"price_in_usd": 1.0, "price_out_usd": 2.0}
        config = ModelConfig("openai/scripted", api_base=script.url, timeout_s=5.0, **prices, **options)
        async with Client(RetryPolicy(attempts=2), sleep=no_wait) as client:
            return await LanguageModel(config, client).propose(request)

    return asyncio.run(main())


@pytest.fixture
def ask(recipe):
    return ProposalRequest(Parent("1", recipe, 0.5), seed=3, patch="diff", donors=("base", "ja", "math"))


def test_a_good_reply(llm_server, ask):
    with llm_server.serving(GOOD) as script:
        proposal = propose(script, ask)
    assert '"ja_weight", 0.8' in proposal.source
    assert outside(proposal.source) == outside(ask.parent.source)
    assert (proposal.description, proposal.patch, proposal.proposer) == ("more Japanese", "diff", "openai/scripted")
    (call,) = proposal.calls
    assert call.reply == GOOD and call.error is None and call.cost_usd == pytest.approx(0.0002)
    assert "[system]" in call.prompt and "ja_weight" in call.prompt


def test_the_reason_is_told_and_every_call_recorded(llm_server, ask):
    with llm_server.serving("no idea", BAD, GOOD) as script:
        proposal = propose(script, ask)
    assert [call.error is None for call in proposal.calls] == [False, False, True]
    assert "holds no code" in proposal.calls[0].error
    second, third = (request["body"]["messages"] for request in script.requests[1:])
    assert second[2] == {"role": "assistant", "content": "no idea"} and "holds no code" in second[3]["content"]
    assert "is not in the program" in third[3]["content"] and len(third) == 4


def test_a_known_program_is_told_once_and_then_returned(llm_server, ask):
    known = replace(ask, known=lambda source: 12 if '"ja_weight", 0.8' in source else None)
    with llm_server.serving(GOOD, GOOD.replace("0.8", "0.9")) as script:
        proposal = propose(script, known)
    assert '"ja_weight", 0.9' in proposal.source
    assert "the same program as #12, which has been tried" in script.requests[1]["body"]["messages"][3]["content"]
    assert [call.error is None for call in proposal.calls] == [False, True]
    with llm_server.serving(GOOD, GOOD) as script:
        assert '"ja_weight", 0.8' in propose(script, known).source
    assert len(script.requests) == 2
    with llm_server.serving(BAD, BAD, GOOD) as script:
        assert '"ja_weight", 0.8' in propose(script, known).source, "no attempt is left to tell it"
    shown = replace(ask, known=lambda source: 1)
    with llm_server.serving(GOOD, GOOD) as script:
        propose(script, shown)
    assert "the same program as the one shown" in script.requests[1]["body"]["messages"][3]["content"]


def test_a_thought_is_answered_with_edits_and_named(llm_server, ask):
    lesson = Lesson(Parent("5", ask.parent.source, 0.7), "+more ja", "+0.2")
    with llm_server.serving("no idea", GOOD) as script:
        assert propose(script, replace(ask, patch="thought", lesson=lesson)).patch == "thought"
    first, second = (request["body"]["messages"] for request in script.requests)
    assert "# A change that helped" in first[1]["content"] and "+more ja" in first[1]["content"]
    assert "SEARCH/REPLACE" in second[3]["content"] and "<<<<<<< SEARCH" in second[3]["content"]


def test_attempts_end_with_the_last_reason(llm_server, ask):
    with llm_server.serving(BAD, "", "sorry") as script, pytest.raises(NoCodeError) as caught:
        propose(script, ask)
    calls = calls_of(caught.value)
    assert len(calls) == 3 and sum(call.cost_usd for call in calls) == pytest.approx(0.0006)
    with llm_server.serving(default=llm_server.Reply(BAD)) as script, pytest.raises(PatchError):
        propose(script, ask)
    assert len(script.requests) == 3


def test_a_failing_service_keeps_the_calls_before(llm_server, ask):
    with (
        llm_server.serving(BAD, default=llm_server.Reply(status=500)) as script,
        pytest.raises(ProviderError) as caught,
    ):
        propose(script, ask)
    first, second = calls_of(caught.value)
    assert first.reply == BAD and "answered 500" in second.error and second.cost_usd is None


def test_a_refused_key(llm_server, ask):
    with llm_server.serving(llm_server.Reply(status=401)) as script, pytest.raises(AuthenticationFailed) as caught:
        propose(script, ask)
    assert len(calls_of(caught.value)) == 1


def test_fix_and_cross(llm_server, recipe):
    broken = ProposalRequest(Parent("2", recipe, error=Failure("shape", "no", 9)), seed=1, patch="diff")
    with llm_server.serving(GOOD) as script:
        assert propose(script, broken).patch == "fix"
    assert "It failed (shape)" in script.requests[0]["body"]["messages"][1]["content"]
    new = f"```python\n{recipe.replace('0.5', '0.9')}```"
    crossing = ProposalRequest(Parent("3", recipe, 0.5), seed=1, mate=Parent("4", recipe.replace("0.3", "0.4"), 0.6))
    with llm_server.serving(new) as script:
        proposal = propose(script, crossing)
    assert proposal.patch == "cross" and proposal.description == "cross by openai/scripted"


def test_temperature_is_one_of_the_model_s(llm_server, ask):
    with llm_server.serving(GOOD) as script:
        propose(script, ask, temperatures=(0.25,))
    assert script.requests[0]["body"]["temperature"] == 0.25
    with llm_server.serving(GOOD) as script:
        propose(script, ask, temperatures=())
    assert "temperature" not in script.requests[0]["body"]


def test_patch_mix(recipe):
    rng = np.random.default_rng(0)
    free = ProposalRequest(Parent("1", recipe, 0.5), seed=0)
    kinds = [PatchMix(0.75, 0.25, 0.1).choose(free, rng) for _ in range(400)]
    assert set(kinds) == {"diff", "full"} and 0.68 < kinds.count("diff") / 400 < 0.82
    lonely = ProposalRequest(Parent("1", recipe, 0.5), seed=0, patch="cross")
    assert PatchMix().choose(lonely, rng) == "diff", "nobody to cross with"
    with pytest.raises(UsageError, match="at least 0"):
        PatchMix(diff=-1)
