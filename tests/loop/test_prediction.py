"""Predictions over a real database and sandbox."""

from __future__ import annotations

import asyncio
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from evolve.config import RunConfig, SearchConfig
from evolve.errors import PatchError
from evolve.evaluation import Evaluation
from evolve.loop.prediction import Prediction, prediction_of
from evolve.propose.base import Call, Parent, Proposal, ProposalRequest, calls_of, with_calls
from evolve.recipe.trace import DonorInfo, trace
from evolve.sandbox import Sandbox
from evolve.search.digest import source_digest
from evolve.search.trees import Surrogate
from evolve.site import Site
from evolve.store import records
from evolve.store.database import Database

SITES = [Site(f"q{n}", n, n / 3, "q_proj", "attention", (2, 2)) for n in range(4)]
DONORS = {"base": {"layers": 4}, "ja": {"layers": 4}}
RECIPE = """
from evolve.recipe import knob

w = knob("w", {weight!r}, low=0.0, high=1.0)


def merge(site, base, ja):
    return base + w * (ja - base)
"""


def recipe(weight: float) -> str:
    return RECIPE.format(weight=float(weight))


def score_of(weight: float) -> float:
    return 1.0 - (weight - 0.7) ** 2


class Writer:
    """Writes the recipes of a list, one for each request; a weight of None is a proposal that fails."""

    name = "writer"
    patches = ("full",)

    def __init__(self, *weights: float | None) -> None:
        self.weights = list(weights)
        self.seeds: list[int] = []

    async def propose(self, request: ProposalRequest) -> Proposal:
        self.seeds.append(request.seed)
        weight = self.weights.pop(0)
        call = Call("p", "m", "prompt", "reply", 1, 1, 0.5, 0.1)
        if weight is None:
            raise with_calls(PatchError("nothing"), [call])
        source = "def merge(:" if math.isnan(weight) else recipe(weight)
        return Proposal(source, f"weight {weight}", "full", self.name, (call,))


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(entry="evolve.recipe.trace:serve", preload=("torch", "evolve.methods")) as opened:
        yield opened


@pytest.fixture
def parts(tmp_path, sandbox):
    config = RunConfig(search=SearchConfig(surrogate=True, surrogate_candidates=3))
    with Database.create(tmp_path / "r", records.RunRecord("r", "p", "tiny", {}, {}, 0, "0.1")) as database:
        yield SimpleNamespace(
            database=database, config=config, sites=SITES, sandbox=sandbox, tracing=asyncio.Semaphore(2),
            donor_infos={name: {"layers": 4, "statistics": []} for name in DONORS},
            donor_layers=dict.fromkeys(DONORS, 4),
            problem=SimpleNamespace(kind="merge"), observer=SimpleNamespace(message=told.append),
        )  # fmt: skip


told: list[str] = []


def evaluated(parts, prediction, weight, score=None):
    """One proposal from its plan to its score, as the engine does it."""
    database = parts.database
    number = database.begin_proposal(records.ProposalRequest(0, 0, "full", "writer"))
    source = recipe(weight)
    database.set_source(number, source, source_digest(source))
    traced = trace(source, SITES, {name: DonorInfo(4) for name in DONORS})
    plan, knobs = traced.plan.to_dict(), [knob.to_dict() for knob in traced.knobs]
    database.set_traced(number, json.dumps(plan), traced.plan.digest, knobs)
    prediction.expect(number, plan, knobs)
    value = score_of(weight) if score is None else score
    database.add_evaluation(number, Evaluation(value, {}, {}, (), ""))
    prediction.learn(number, value)


def grown(parts, count, seed=0, **options):
    prediction = Prediction(parts, Surrogate())
    for weight in np.random.default_rng(seed).uniform(size=count):
        evaluated(parts, prediction, round(float(weight), 6), **options)
    return prediction


def test_it_comes_to_be_trusted_and_stores_what_it_expected(parts) -> None:
    prediction = grown(parts, 45)
    assert not prediction.trusted, "nothing was predicted for the first twenty"
    rng = np.random.default_rng(1)
    for weight in rng.uniform(size=15):
        evaluated(parts, prediction, round(float(weight), 6))
    assert prediction.rank_correlation > 0.8
    assert prediction.trusted
    stored = parts.database.connection.execute("SELECT count(predicted), min(predicted), max(predicted) FROM proposals")
    count, low, high = stored.fetchone()
    assert 30 <= count <= 40
    assert 0.3 < low < high < 1.1


def test_a_resumed_run_trusts_as_before(parts) -> None:
    prediction = grown(parts, 60)
    again = Prediction(parts, Surrogate())
    assert again.rank_correlation == pytest.approx(prediction.rank_correlation)
    traced = trace(recipe(0.6), SITES, {name: DonorInfo(4) for name in DONORS})
    knobs = [knob.to_dict() for knob in traced.knobs]
    assert again.predict(traced.plan.to_dict(), knobs) == pytest.approx(score_of(0.6), abs=0.05)


def test_the_best_predicted_draft_is_chosen_and_all_calls_are_paid(parts) -> None:
    prediction = grown(parts, 60)
    request = ProposalRequest(Parent("1", recipe(0.1)), seed=7)
    writer = Writer(0.05, 0.71, 0.4)
    chosen = asyncio.run(prediction.propose(writer, request))
    assert chosen.description == "weight 0.71"
    assert len(chosen.calls) == 3
    assert writer.seeds[0] == 7
    assert len(set(writer.seeds)) == 3


def test_drafts_that_fail_or_are_known_are_left_out(parts) -> None:
    prediction = grown(parts, 60)
    evaluated(parts, prediction, 0.7)
    request = ProposalRequest(Parent("1", recipe(0.1)), seed=7)
    assert asyncio.run(prediction.propose(Writer(0.7, None, 0.31), request)).description == "weight 0.31"
    assert asyncio.run(prediction.propose(Writer(math.nan, None, 0.32), request)).description == "weight 0.32"
    with pytest.raises(PatchError) as caught:
        asyncio.run(prediction.propose(Writer(None, None, None), request))
    assert len(calls_of(caught.value)) == 3


def test_predictions_that_proved_wrong_choose_nothing(parts) -> None:
    rng = np.random.default_rng(5)
    prediction = Prediction(parts, Surrogate())
    for weight in rng.uniform(size=70):
        evaluated(parts, prediction, round(float(weight), 6), score=float(rng.uniform()))
    assert prediction.rank_correlation < 0.3
    writer = Writer(0.05)
    chosen = asyncio.run(prediction.propose(writer, ProposalRequest(Parent("1", recipe(0.1)), seed=7)))
    assert (chosen.description, len(writer.seeds)) == ("weight 0.05", 1)


def test_it_is_made_on_request_and_for_merges_only(parts) -> None:
    assert isinstance(prediction_of(parts), Prediction)
    parts.problem.kind = "program"
    assert prediction_of(parts) is None
    assert told[-1].startswith("search.surrogate has no effect")
    parts.config = RunConfig()
    assert prediction_of(parts) is None
