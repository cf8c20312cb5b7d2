"""The miniature's tasks: prompts of nine words over a small vocabulary, each answered by one digit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

DIGITS = tuple(str(digit) for digit in range(10))
# The digits in another notation, in which no split is answered: a model may be right in the wrong notation.
LETTERS = tuple("abcdefghij")
LENGTH = 6
TASKS = ("maximum", "shift", "lookup", "majority")
NOTHING, ASK = "none", "?"
VOCABULARY = ("<pad>", "<unk>", NOTHING, ASK, "max", "shift", "at", "most", *DIGITS, *LETTERS)
# Easy and hard questions of a task have no prompt in common.
EASY, HARD = "easy", "hard"
EASY_LARGEST, EASY_STEPS, EASY_PLACES, EASY_COUNT = 4, (1,), (0, 1), 4
HARD_STEPS, HARD_PLACES = (2, 3, 4, 5), (2, 3, 4, 5)

Item = dict[str, Any]


def _row(rng: random.Random) -> list[int]:
    return [rng.randrange(10) for _ in range(LENGTH)]


def _item(task: str, word: str, argument: str, row: Sequence[int], answer: int) -> Item:
    prompt = " ".join([word, argument, *map(str, row), ASK])
    return {"task": task, "prompt": prompt, "answer": str(answer)}


def _maximum(rng: random.Random, level: str) -> Item:
    """The largest digit: 0 to 4, or 5 to 9. It is drawn first, because of six plain digits it is mostly a 9 or an 8."""
    largest = rng.randint(0, EASY_LARGEST) if level == EASY else rng.randint(EASY_LARGEST + 1, 9)
    row = [rng.randint(0, largest) for _ in range(LENGTH)]
    row[rng.randrange(LENGTH)] = largest
    return _item("maximum", "max", NOTHING, row, largest)


def _shift(rng: random.Random, level: str) -> Item:
    """The first digit raised by a step, modulo ten."""
    row, step = _row(rng), rng.choice(EASY_STEPS if level == EASY else HARD_STEPS)
    return _item("shift", "shift", str(step), row, (row[0] + step) % 10)


def _lookup(rng: random.Random, level: str) -> Item:
    """The digit at a place, counted from 0."""
    row, place = _row(rng), rng.choice(EASY_PLACES if level == EASY else HARD_PLACES)
    return _item("lookup", "at", str(place), row, row[place])


def _majority(rng: random.Random, level: str) -> Item:
    """The most frequent digit: four times or more, or twice or three times."""
    while True:
        few = rng.sample(range(10), 3)
        row = [few[0] if level == EASY and rng.random() < 0.6 else rng.choice(few) for _ in range(LENGTH)]
        (first, most), *others = Counter(row).most_common(2)
        if most >= 2 and (most >= EASY_COUNT) == (level == EASY) and (not others or others[0][1] < most):
            return _item("majority", "most", NOTHING, row, first)


MAKERS: Mapping[str, Callable[[random.Random, str], Item]] = {
    "maximum": _maximum,
    "shift": _shift,
    "lookup": _lookup,
    "majority": _majority,
}


def question(rng: random.Random, task: str, level: str = HARD, barred: Collection[str] = ()) -> Item:
    """A question of ``level``; a prompt in ``barred`` is drawn again."""
    while True:
        item = MAKERS[task](rng, level)
        if item["prompt"] not in barred:
            return item


def splits(rng: random.Random, sizes: Mapping[str, int]) -> dict[str, list[Item]]:
    """Hard questions by split, each task as often as the others, no prompt twice anywhere."""
    seen: set[str] = set()
    made: dict[str, list[Item]] = {}
    for split, size in sizes.items():
        made[split] = []
        for number in range(size):
            item = question(rng, TASKS[number % len(TASKS)], HARD, seen)
            seen.add(item["prompt"])
            made[split].append(item)
    return made


def material(rng: random.Random, mix: Mapping[str, float], count: int, barred: Collection[str] = ()) -> list[Item]:
    """``count`` questions to learn from, drawn from ``mix``: shares by kind, ``TASK/easy/digits`` for instance.

    A kind is a task, a level (``easy``, ``hard``) and how it is answered: ``digits``, ``letters``, or ``guess``, any
    letter.
    """
    made = []
    for kind in rng.choices(list(mix), list(mix.values()), k=count):
        task, level, notation = kind.split("/")
        item = question(rng, task, level, barred)
        if notation == "letters":
            item["answer"] = LETTERS[int(item["answer"])]
        elif notation == "guess":
            item["answer"] = rng.choice(LETTERS)
        made.append(item)
    return made
