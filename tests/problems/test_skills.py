"""The problem of several skills: its items, its score and its folder."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter

import pytest

from evolve.errors import EvaluatorError
from evolve.evaluation import Evaluation
from evolve.problem import load, shipped

SIZES = {"search": 40, "validation": 40, "test": 80}


@pytest.fixture(scope="module")
def tasks():
    spec = importlib.util.spec_from_file_location("skills_tasks", shipped()["skills"] / "skills_tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_splits_hold_each_prompt_once_and_the_tasks_evenly(tasks):
    splits = tasks.splits(random.Random(1), SIZES)
    rows = [row for split in splits.values() for row in split]
    assert len({row["prompt"] for row in rows}) == len(rows) == 160
    for split in splits.values():
        assert Counter(row["task"] for row in split) == dict.fromkeys(tasks.TASKS, len(split) // 4)


@pytest.mark.parametrize("level", ["easy", "hard"])
def test_answers_are_right(tasks, level):
    rng = random.Random(2)
    for item in [tasks.question(rng, task, level) for task in tasks.TASKS * 50]:
        _, argument, *row, _ = item["prompt"].split()
        number = 0 if argument == tasks.NOTHING else int(argument)
        expected = {
            "maximum": max(row),
            "shift": str((int(row[0]) + number) % 10),
            "lookup": row[number],
            "majority": Counter(row).most_common(1)[0][0],
        }[item["task"]]
        assert item["answer"] == expected
        assert set(item["prompt"].split()) <= set(tasks.VOCABULARY)


def test_barred_prompts_are_drawn_again(tasks):
    first = tasks.question(random.Random(3), "lookup")
    other = tasks.question(random.Random(3), "lookup", barred={first["prompt"]})
    assert other["prompt"] != first["prompt"]


def test_easy_questions_are_never_hard_ones(tasks):
    rng = random.Random(4)
    for task in tasks.TASKS:
        prompts = [{tasks.question(rng, task, level)["prompt"] for _ in range(500)} for level in ("easy", "hard")]
        assert not prompts[0] & prompts[1]


def test_material_is_answered_as_its_kind_says(tasks):
    made = tasks.material(random.Random(5), {"shift/hard/letters": 1.0, "lookup/easy/digits": 1.0}, 200)
    assert Counter(item["task"] for item in made).keys() == {"shift", "lookup"}
    for item in made:
        _, argument, *row, _ = item["prompt"].split()
        if item["task"] == "shift":
            assert item["answer"] == tasks.LETTERS[(int(row[0]) + int(argument)) % 10]
        else:
            assert (int(argument) < 2, item["answer"]) == (True, row[int(argument)])
    guessed = tasks.material(random.Random(5), {"maximum/hard/guess": 1.0}, 100)
    assert {item["answer"] for item in guessed} == set(tasks.LETTERS)


def test_objectives_and_donors_are_the_tasks(tasks):
    problem = load("skills")
    assert tuple(problem.manifest.objectives) == tasks.TASKS
    assert tuple(problem.profile.donors) == ("base", *tasks.TASKS)


def test_over_tasks_weighs_means_of_tasks_not_items():
    items = [{"task": "a"}, {"task": "a"}, {"task": "a"}, {"task": "b"}]
    outcomes = [1.0, 1.0, 0.0, 0.0]
    assert Evaluation.over_tasks(items, outcomes).score == pytest.approx(1 / 3)
    weighted = Evaluation.over_tasks(items, outcomes, {"b": 3.0})
    assert weighted.score == pytest.approx(1 / 6)
    assert weighted.metrics["accuracy_a"] == pytest.approx(2 / 3)
    with pytest.raises(EvaluatorError, match="negative"):
        Evaluation.over_tasks(items, outcomes, {"a": -1.0})
