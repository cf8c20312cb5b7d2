"""Items and the tasks that they may belong to."""

from __future__ import annotations

import json

import pytest

from evolve.errors import ProblemError
from evolve.evaluate.splits import Splits

TASKS = {
    "add": {"weight": 2.0, "held_out": False},
    "spell": {"weight": 1.0, "held_out": False},
    "rhyme": {"weight": 1.0, "held_out": True},
}


def splits(folder, name, tasks):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"task": task} if task else {}) + "\n" for task in tasks))
    return Splits({name: path}, TASKS)


def test_items_of_the_tasks_of_a_split_are_read(tmp_path):
    assert len(splits(tmp_path, "search", ["add", "spell"]).items("search")) == 2
    assert len(splits(tmp_path, "held_out", ["rhyme"]).items("held_out")) == 1


@pytest.mark.parametrize(
    ("name", "tasks", "message"),
    [
        ("search", ["add", "spell", "rhyme"], "item 3: split 'search' holds the task 'rhyme', which is held out; move"),
        ("fresh", ["rhyme"], "item 1: split 'fresh' holds the task 'rhyme', which is held out"),
        ("test", ["add", "rhyme"], "item 2: split 'test' holds the task 'rhyme', which is held out"),
        ("held_out", ["rhyme", "add"], "item 2: split 'held_out' holds the task 'add', which is not held out"),
        ("validation", ["add", "ad"], "item 2: task 'ad' is none of problem.toml's: add, spell, rhyme"),
        ("search", ["add", None], "item 2: task None is none of"),
        ("search", ["add"], "split 'search' has no item of the task 'spell'; add some"),
    ],
)
def test_an_item_in_the_wrong_split_is_refused(tmp_path, name, tasks, message):
    with pytest.raises(ProblemError, match=message):
        splits(tmp_path, name, tasks).items(name)


def test_held_out_items_stay_closed_at_the_start(tmp_path):
    assert splits(tmp_path, "held_out", ["rhyme"]).counts() == {"held_out": None}
