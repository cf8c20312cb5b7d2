"""Raced evaluations and stages, through the worker's service and a real worker process."""

from __future__ import annotations

import asyncio

import pytest
import torch

from evolve.errors import EvaluatorError, StageRejected
from evolve.evaluate.merging import MergeService
from evolve.evaluate.pool import WorkerPool
from evolve.racing import Race
from evolve.site import Site

ITEMS = [f"{a}+{b}=" for a in range(4) for b in range(4)]
ORDER = [5, 0, 9, 14, 3, 7, 1, 12, 2, 15, 4, 11, 6, 13, 8, 10]
EVALUATE = """
from evolve.evaluation import Evaluation


def stage_size(candidate):
    return float(len(candidate.items))


def stage_surprise(candidate):
    return candidate.perplexity([item["question"] for item in candidate.items])


def evaluate(candidate):
    prompts = [item["question"] for item in candidate.items]
    answers = candidate.generate(prompts, candidate.settings["tokens"])
    print("judged", len(prompts))
    outcomes = [float(len(answer) % 2) for answer in answers]
    return Evaluation(sum(outcomes) / len(outcomes), features={"long": 0.0}, outcomes=outcomes)
"""


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def request(service, mix, **race):
    plan = mix(service._live.sites, {"base": 0.5, "ja": 0.5}).to_dict()
    work = {"plan": plan, "split": "search"}
    if race:
        work["race"] = Race(ORDER, [2, 4, 8, 16], 0.3, race["rival"]).to_dict()
    return work


def counted(service):
    """The numbers of prompts of every batch that the model was really asked."""
    asked = []
    original = service._live.model.forward

    def forward(*args, **kwargs):
        if kwargs["past_key_values"].get_seq_length() == 0:
            asked.append(len(kwargs["input_ids"]))
        return original(*args, **kwargs)

    service._live.model.forward = forward
    return asked


def test_a_race_that_nobody_wins_ends_with_the_whole_evaluation(problem, mix):
    service = MergeService(problem(EVALUATE, ITEMS))
    plain = service.evaluate(request(service, mix))
    asked = counted(service)
    found = service.evaluate(request(service, mix, rival=[0.0] * 16))
    assert found.evaluation == plain.evaluation
    assert (found.stopped, found.items_total, found.note) == (None, 16, "")
    assert sum(asked) == 16
    assert (plain.stopped, plain.items_total) == (None, None)


def test_a_certain_loser_is_given_up_and_its_outcomes_are_those_of_the_first_items(problem, mix):
    service = MergeService(problem(EVALUATE, ITEMS))
    whole = service.evaluate(request(service, mix)).evaluation.outcomes
    lost = sum(whole[item] == 0 for item in ORDER[:8])
    assert lost >= 3, "the miniature must lose some items for this test"
    asked = counted(service)
    found = service.evaluate(request(service, mix, rival=[1.0] * 16))
    items = len(found.evaluation.outcomes)
    assert (found.stopped, found.items_total) == ("raced", 16)
    assert items in (2, 4, 8)
    assert found.evaluation.outcomes == [whole[item] for item in ORDER[:items]]
    assert found.evaluation.score == pytest.approx(sum(found.evaluation.outcomes) / items)
    assert sum(asked) == items
    easy = [float(item in ORDER[:8]) for item in range(16)]
    harder = service.evaluate(request(service, mix, rival=easy))
    assert harder.stopped == "raced"
    theirs, ours = [easy[item] for item in ORDER], harder.evaluation.outcomes
    expected = max(0.0, 0.5 + (sum(ours) - sum(theirs[: len(ours)])) / len(ours))
    assert harder.evaluation.score == pytest.approx(expected)


def test_an_evaluator_that_needs_all_items_is_not_raced_and_says_so(problem, mix):
    evaluate = EVALUATE.replace("def evaluate(candidate):\n", "def evaluate(candidate):\n    candidate.items[15]\n")
    service = MergeService(problem(evaluate, ITEMS))
    found = service.evaluate(request(service, mix, rival=[1.0] * 16))
    assert (found.stopped, len(found.evaluation.outcomes)) == (None, 16)
    assert found.note.startswith("candidates cannot be raced: evaluate.py, line ")


def test_each_item_is_answered_once_by_an_evaluator_that_uses_the_model_itself(problem, mix):
    evaluate = """
from evolve.evaluation import Evaluation


def evaluate(candidate):
    def answer(items):
        print("asked for", len(items))
        candidate.settings.setdefault("asked", []).extend(item["question"] for item in items)
        return [float(item["question"] < "1") for item in items]

    outcomes = candidate.each("size", answer)
    return Evaluation(sum(outcomes) / len(outcomes), features={"long": 0.0}, outcomes=outcomes)
"""
    service = MergeService(problem(evaluate, ITEMS))
    asked = []
    service._settings["asked"] = asked
    found = service.evaluate(request(service, mix, rival=[0.0] * 16))
    assert sorted(asked) == sorted(ITEMS)
    assert found.evaluation.outcomes == [float(item < "1") for item in ITEMS]
    assert service.evaluate(request(service, mix)).evaluation == found.evaluation
    assert len(asked) == 32, "nothing is remembered from one candidate to the next"


def test_repeated_prompts_are_generated_once_only_where_answers_are_remembered(problem, mix):
    service = MergeService(problem(EVALUATE, ["1+1=", "1+1=", "2+2="]))
    service._live.apply(service._plan(request(service, mix)))
    asked = counted(service)
    remembering, plain = service._candidate("search", [0, 1, 2], {}), service._candidate("search")
    prompts = ["1+1=", "1+1=", "2+2="]
    assert remembering.generate(prompts, 4) == plain.generate(prompts, 4)
    assert asked == [2, 3]
    remembering.generate(prompts, 5)
    assert asked == [2, 3, 2]
    remembering.generate(prompts, 5, ["="])
    remembering.generate(prompts, 5)
    assert asked == [2, 3, 2, 2]


def test_perplexity_is_that_of_the_models_own_loss(problem, mix):
    service = MergeService(problem(EVALUATE, ITEMS))
    service._live.apply(service._plan(request(service, mix)))
    candidate = service._candidate("search")
    texts = ["1+1=2", "a much longer text about sums", "7"]
    total, tokens = 0.0, 0
    for text in texts:
        ids = torch.tensor([service._live.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            loss = float(service._live.model(input_ids=ids, labels=ids).loss)
        total, tokens = total + loss * (ids.shape[1] - 1), tokens + ids.shape[1] - 1
    assert candidate.perplexity(texts) == pytest.approx(float(torch.tensor(total / tokens).exp()), rel=1e-5)


def test_a_stage_without_its_function_is_found_at_the_start(problem):
    stages = [{"name": "missing", "kind": "metric", "max": 1.0}]
    with pytest.raises(EvaluatorError, match=r"defines no function stage_missing\(candidate\)"):
        MergeService(problem(EVALUATE, ITEMS, stages=stages))


def test_stages_and_races_through_a_real_worker(tmp_path, problem, mix):
    stages = [
        {"name": "size", "kind": "metric", "items": 3, "min": 3.0, "max": 3.0},
        {"name": "surprise", "kind": "metric", "items": 4, "max": 200.0},
    ]
    setup = problem(EVALUATE, ITEMS, stages=stages)

    async def body() -> None:
        pool = WorkerPool(setup, 1, tmp_path / "workers")
        try:
            await pool.start()
            sites = [Site.from_dict(site) for site in pool.info["sites"]]
            good = {"plan": mix(sites, {"base": 0.5, "ja": 0.5}).to_dict()}
            wild = {"plan": mix(sites, {"base": 40.0}).to_dict()}
            race = Race(ORDER, [2, 4, 8, 16], 0.3, [1.0] * 16).to_dict()
            found = await pool.evaluate({**good, "race": race, "stages": True}, "search", 60)
            assert (found.stopped, found.items_total) == ("raced", 16)
            assert found.phases.keys() == {"merge", "stages", "evaluate"}
            with pytest.raises(StageRejected, match=r"^stage surprise: surprise \S+ is over the maximum 200$"):
                await pool.evaluate({**wild, "race": race, "stages": True}, "search", 60)
            whole = await pool.evaluate(wild, "search", 60)
            assert (whole.stopped, whole.items_total, len(whole.evaluation.outcomes)) == (None, None, 16)
        finally:
            await pool.close()

    asyncio.run(body())
