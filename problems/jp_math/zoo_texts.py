"""Writes the texts of donor statistics: texts.jsonl in Japanese for the task, texts_DONOR.jsonl for each donor's skill.

No text is an item of a split, whatever the zoo's seed, nor the translation of one: in those both numbers are 10 or
more, in a question here the second one is less or there is none. Rows of bare equations are no questions.
Run it in this folder after a change: python zoo_texts.py
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import zoo_questions
from zoo import TRAININGS
from zoo_questions import END, HARD_HIGH, HARD_LOW, PROMPT, Language, Material, Operation

COUNT, OWN_COUNT = 256, 192
LOW, HIGH = 4, HARD_LOW - 1
SEED = "texts"
# Kinds of training material (see Material) without hard questions, and the operation of solved hard problems.
EASY_KINDS = ("en_easy", "en_read", "ja_easy", "ja_read", "en_jq", "eqe", "eq_add", "eq_sub")
HARD_KINDS: Mapping[str, Operation] = {"en_add": "add", "en_sub": "sub"}


def texts() -> list[str]:
    """The task's texts: half additions, half subtractions, no text twice."""
    rng = random.Random(SEED)
    operations: tuple[Operation, ...] = ("add", "sub")
    return _distinct(COUNT, lambda made: _solved(rng, operations[made % 2], "ja"))


def own_texts(donor: str) -> list[str]:
    """What a donor was trained on, in the same proportions, no text twice.

    Without the hard problems whose solution is unfinished or wrong.
    """
    rng = random.Random(f"{SEED}/{donor}")
    mix = {kind: share for kind, share in TRAININGS[donor]["mix"].items() if kind in EASY_KINDS or kind in HARD_KINDS}
    material = Material(rng, (), prompt_weight=1.0)

    def draw(_: int) -> str:
        kind = rng.choices(list(mix), weights=list(mix.values()))[0]
        if kind in HARD_KINDS:
            return _solved(rng, HARD_KINDS[kind], "en")
        return "".join(segment for segment, _ in material.texts({kind: 1.0}, 1)[0])

    return _distinct(OWN_COUNT, draw)


def _solved(rng: random.Random, operation: Operation, language: Language) -> str:
    """A problem and its solution; the second number has one digit."""
    a, b = rng.randint(HARD_LOW, HARD_HIGH), rng.randint(LOW, HIGH)
    problem = replace(zoo_questions.problem(rng, operation, hard=True), a=a, b=b)
    return PROMPT.format(question=problem.question(language)) + problem.answer(language) + END


def _distinct(count: int, draw: Callable[[int], str]) -> list[str]:
    made: dict[str, None] = {}
    while len(made) < count:
        made[draw(len(made))] = None
    return list(made)


def files() -> dict[str, list[str]]:
    """Texts by name of file."""
    return {"texts.jsonl": texts(), **{f"texts_{donor}.jsonl": own_texts(donor) for donor in TRAININGS}}


def main() -> None:
    for name, content in files().items():
        lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in content)
        Path(__file__).with_name(name).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
