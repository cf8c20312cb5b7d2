"""Writes texts.jsonl, the texts of donor statistics: Japanese problems with their Japanese solutions.

The second number is always 4 to 9. In the splits of every zoo seed it is 10 or more, so no text is one of their items.
Run it in this folder after a change: python zoo_texts.py
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import zoo_questions
from zoo_questions import END, HARD_HIGH, HARD_LOW, PROMPT

COUNT = 256
LOW, HIGH = 4, HARD_LOW - 1
SEED = "texts"


def texts() -> list[str]:
    """Half additions, half subtractions, no text twice."""
    rng = random.Random(SEED)
    made: dict[str, None] = {}
    while len(made) < COUNT:
        operation: zoo_questions.Operation = "add" if len(made) % 2 == 0 else "sub"
        a, b = rng.randint(HARD_LOW, HARD_HIGH), rng.randint(LOW, HIGH)
        problem = replace(zoo_questions.problem(rng, operation, hard=True), a=a, b=b)
        made[PROMPT.format(question=problem.question("ja")) + problem.answer("ja") + END] = None
    return list(made)


def main() -> None:
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts())
    Path(__file__).with_name("texts.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
