"""A strategy that is told a run's past again goes on as if nothing had happened."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import numpy as np
import pytest

from evolve import problem as problems
from evolve.config import update
from evolve.loop import start
from evolve.loop.engine import Engine, told
from evolve.loop.strategy import strategy_of
from evolve.store.recall import ABLATION
from evolve.ui.watch import watcher

RECIPE = '''
first_weight = knob("first_weight", {weight:.3f}, low=-0.5, high=1.5)
second_weight = knob("second_weight", 0.4, low=-0.5, high=1.5)


def merge(site, base, first, second):
    """Task arithmetic, number {number}."""
    return task_arithmetic(base, [first, second], [first_weight, second_weight])
'''


class Recorded:
    """The strategy of a run and what it was told."""

    def __init__(self, parts):
        self.strategy = strategy_of(parts)
        self.told = []

    def ask(self, rng):
        return self.strategy.ask(rng)

    def tell(self, told):
        self.told.append(told)
        self.strategy.tell(told)


def past(parts):
    return [told(one) for one in parts.database.attempts() if one.request.patch != ABLATION]


def plain(one):
    """What is told but for the score of a duplicate, whose original may have been in flight."""
    return dataclasses.replace(one, score=None, outcomes=(), seconds=0.0) if one.state == "duplicate" else one


def upcoming(strategy, count=8):
    """What a strategy asks for next, in words; requests hold functions."""
    asks = [strategy.ask(np.random.default_rng([5, number])) for number in range(count)]
    return [(ask.arm, ask.patch, ask.parent, ask.mate, ask.inspirations, ask.source, ask.note) for ask in asks]


async def lived(intent, evaluations=None):
    """Runs until so many evaluations are made, then aborts; to the end of the budget without them."""
    with watcher(True) as view:
        async with start.assembled(intent, view) as parts:
            recorded = Recorded(parts)
            run = asyncio.ensure_future(Engine(parts, recorded).run())
            while evaluations and not run.done() and parts.database.counts().evaluations < evaluations:
                await asyncio.sleep(0.002)
            if evaluations:
                run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run
            again = strategy_of(parts)
            for one in past(parts):
                again.tell(one)
            asked = None if evaluations else (upcoming(recorded.strategy), upcoming(again))
            return recorded.told, past(parts), asked


@pytest.mark.slow
def test_a_killed_run_with_workers_and_a_language_model_goes_on_as_it_was(terminal, llm_server, monkeypatch, cache):
    monkeypatch.setenv("EVOLVE_CACHE", str(cache))
    replies = iter(range(1000))

    def answer(body):
        number = next(replies)
        return llm_server.Reply(f"```python\n{RECIPE.format(weight=0.3 + 0.004 * number, number=number)}```\n")

    with llm_server.serving(answer=answer) as script:
        problem = problems.load(str(terminal.folder / "merge"))
        told_of = {
            "budget": {"evaluations": 46},
            "evaluation": {"workers": 2},
            "models": {"scripted": {"api_base": script.url, "price_in_usd": 1, "price_out_usd": 1}},
            "proposals": {"llm": "scripted,offline", "diff": 0.0, "full": 1.0, "cross": 0.0, "prompt_every": 7},
        }
        intent = start.fresh(problem, update(problem.config(), told_of, "the test"), {}, terminal.runs, "r")
        first, stored, _ = asyncio.run(lived(intent, 15))
        assert list(map(plain, first)) == list(map(plain, stored)), "the database tells what the strategy was told"
        second, stored, _ = asyncio.run(lived(start.existing(terminal.runs / "r"), 26))
        third, final, (live, again) = asyncio.run(lived(start.existing(terminal.runs / "r")))
    assert list(map(plain, second))[: len(first)] == list(map(plain, first))
    assert list(map(plain, third)) == list(map(plain, final))
    assert {"scripted", "profiles"} <= {one.arm for one in third}
    assert sum(one.used for one in third) == 46
    assert not [one for one in third if one.state == "abandoned"]
    assert live == again, "it asks for what a strategy asks for that is told everything anew"
