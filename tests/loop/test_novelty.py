"""The gate before evaluation, on a real database and a scripted service over loopback."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from evolve.config import NoveltyConfig, RunConfig
from evolve.evaluation import Evaluation
from evolve.llm.client import Client, RetryPolicy
from evolve.loop.lifecycle import Ticket, close
from evolve.loop.novelty import NearDuplicate, Novelty
from evolve.propose.base import Parent
from evolve.propose.base import ProposalRequest as Asked
from evolve.propose.ensemble import Ensemble
from evolve.search.digest import source_digest
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import ProposalRequest, RunRecord
from evolve.strategies.base import Ask

FIRST = "def solve(x):\n    total = 0.5 * x\n    return total + 1\n"
RENAMED = "def solve(x):\n    amount = 0.5 * x\n    return amount + 1\n"
NUMBER = "def solve(x):\n    total = 0.6 * x\n    return total + 1\n"
OTHER = "def solve(x):\n    return [x ** power for power in range(9) if power != 3]\n"
MODELS = {"writer": {}, "vectors": {}, "judge": {}}


def embedding(llm_server, *numbers):
    data = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": list(numbers)}],
        "model": "vectors",
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }
    return llm_server.Reply(raw=json.dumps(data).encode())


class Bench:
    """A run's database and ensemble; ``put`` makes a proposal, asks the gate, and writes down how it ended."""

    def __init__(self, folder, url, **novelty):
        models = {name: {"api_base": url, "price_in_usd": 1.0, "price_out_usd": 2.0} for name in MODELS}
        client = Client(RetryPolicy(attempts=1))
        self.folder = folder
        self.config = RunConfig(novelty=replace(NoveltyConfig(), **novelty), models=models)
        self.ensemble = Ensemble.parse("writer,offline", models, client=client)
        record = RunRecord("r", "p", "tiny", {}, {}, 0, "0.1")
        self.database = Database.create(folder, record)
        self.gate = self.opened()

    def opened(self):
        parts = SimpleNamespace(database=self.database, config=self.config, ensemble=self.ensemble)
        return Novelty(parts)

    def resume(self):
        self.database.close()
        self.database = Database.open(self.folder)
        self.gate = self.opened()

    async def put(self, source, proposer="writer", island=0, fails=False, request=None):
        database = self.database
        number = database.begin_proposal(ProposalRequest(island, 0, "full", proposer))
        database.set_source(number, source, source_digest(source))
        arm = None if proposer == "numbers" else self.ensemble[proposer]
        ticket = Ticket(number, number, Ask(proposer, request=request, proposer=arm, island=island), source)
        parts = SimpleNamespace(database=database)
        try:
            await self.gate.check(ticket)
        except NearDuplicate as error:
            close(parts, ticket, error)
            return ticket, error
        if fails:
            database.set_state(number, "failed", reason="shape", message="wrong")
        else:
            database.add_evaluation(number, Evaluation(0.5, {}, {}, (), ""))
        return ticket, None


@pytest.fixture
def run(tmp_path, llm_server):
    """run(script of replies, coroutine function of a Bench, **novelty settings) -> (its result, requests)"""
    made = []

    def run(replies, play, **novelty):
        async def all_of_it(url):
            bench = Bench(tmp_path / f"r{len(made)}", url, **novelty)
            made.append(bench)
            try:
                return await play(bench)
            finally:
                await bench.ensemble.aclose()

        with llm_server.serving(*replies) as script:
            return asyncio.run(all_of_it(script.url)), script.requests

    yield run
    for bench in made:
        bench.database.close()


def test_a_renamed_program_is_turned_away_and_named(run):
    async def play(bench):
        await bench.put(FIRST)
        ticket, error = await bench.put(RENAMED)
        return bench.database.program(ticket.id), error

    (row, error), _ = run([], play)
    assert (row.state, row.reason) == ("duplicate", "near_duplicate")
    assert "like program #1: text similarity 1.0000" in row.message
    assert error.original == 1


def test_numbers_other_islands_and_other_programs_are_new(run):
    async def play(bench):
        found = [await bench.put(FIRST)]
        found += [await bench.put(NUMBER), await bench.put(OTHER), await bench.put(RENAMED, island=1)]
        return [error for _, error in found]

    assert run([], play)[0] == [None] * 4


def test_numeric_arms_pass_and_failed_programs_may_be_repaired(run):
    async def play(bench):
        await bench.put(FIRST, fails=True)
        repaired = await bench.put(RENAMED)
        numbers = await bench.put(FIRST.replace("total", "tuned"), "numbers")
        offline = await bench.put(FIRST.replace("total", "sum_"), "offline")
        return [error for _, error in (repaired, numbers, offline)]

    repaired, numbers, offline = run([], play)[0]
    assert repaired is None
    assert numbers is None
    assert offline.original in (2, 3)


def test_a_run_of_the_offline_mutator_alone_is_not_slowed_down(run):
    async def play(bench):
        bench.ensemble = Ensemble.parse("offline", client=bench.ensemble.client)
        bench.gate = bench.opened()
        return [(await bench.put(source, "offline"))[1] for source in (FIRST, RENAMED)]

    assert run([], play)[0] == [None, None]


def test_zero_switches_the_comparison_off(run):
    async def play(bench):
        return [(await bench.put(source))[1] for source in (FIRST, RENAMED)]

    assert run([], play, text_threshold=0.0)[0] == [None, None]


def test_embeddings_are_compared_paid_for_and_kept_over_a_resume(run, llm_server):
    async def play(bench):
        found = [(await bench.put(source))[1] for source in (FIRST, OTHER, NUMBER)]
        bench.resume()
        found.append((await bench.put("def solve(x):\n    return -x\n"))[1])
        await bench.put(OTHER.replace("9", "11"), "offline")
        return found, queries.calls(bench.database.connection), bench.database.program(3)

    replies = [embedding(llm_server, *v) for v in ((2, 0, 0), (0, 1, 0), (4, 0.01, 0), (0, 0.99, 0.01))]
    (found, calls, row), requests = run(replies, play, embedding_model="vectors")
    assert [error and error.original for error in found] == [None, None, 1, 2]
    assert row.message == "like program #1: embedding similarity 1.0000"
    assert [request["path"] for request in requests] == ["/v1/embeddings"] * 4
    assert requests[0]["body"]["input"] == FIRST
    assert {(call["purpose"], call["cost_usd"], call["tokens_in"]) for call in calls} == {("embedding", 1e-5, 10)}


def test_a_judge_may_let_a_program_pass(run):
    async def play(bench):
        found = [(await bench.put(FIRST))[1]]
        for name in ("one", "two", "three"):
            found.append((await bench.put(FIRST.replace("total", name)))[1])
        return found, queries.calls(bench.database.connection)

    replies = ["It adds a term.\nNOVEL", "Only names differ, nothing NOVEL.\nKNOWN", "I cannot say."]
    (found, calls), requests = run(replies, play, judge_model="judge")
    assert [error is None for error in found] == [True, True, False, False]
    assert [call["purpose"] for call in calls] == ["judge"] * 3
    question = requests[0]["body"]["messages"][0]["content"]
    assert "total = 0.5 * x" in question
    assert "one = 0.5 * x" in question


def test_a_service_that_fails_costs_no_program_its_evaluation(run):
    async def play(bench):
        errors = [(await bench.put(source))[1] for source in (FIRST, OTHER)]
        return errors, queries.calls(bench.database.connection)

    (errors, calls), _ = run([], play, embedding_model="vectors")
    assert errors == [None, None]
    assert len(calls) == 2
    assert all("500" in call["error"] for call in calls)


def test_a_request_is_tried_again_with_advice_until_the_limit(run):
    async def play(bench):
        await bench.put(FIRST)
        asked = Asked(Parent("1", FIRST), seed=1, recommendations="Be bold.")
        ticket, error = await bench.put(RENAMED, request=asked)
        rng, tries = np.random.default_rng(0), []
        again = bench.gate.again(ticket, error, rng)
        passed = bench.gate.again(ticket, None, rng)
        while again is not None:
            tries.append(again)
            again = bench.gate.again(replace(ticket, ask=again), error, rng)
        return tries, passed

    (tries, passed), _ = run([], play, tries=3)
    assert passed is None
    assert [ask.note["near_duplicates"] for ask in tries] == [1, 2]
    assert len({ask.request.seed for ask in tries} | {1}) == 3
    assert tries[0].request.recommendations.startswith("Be bold.\nThe last proposal from this parent was turned away")
