"""A small program problem for the ablation: a table of answers, of which every item of the problem asks for one."""

from __future__ import annotations

import json
import random
from pathlib import Path

KINDS = tuple(f"k{number:02d}" for number in range(40))
VALUES = 6
ITEMS = {"search": 120, "validation": 120, "test": 300}

MANIFEST = """title = "A table of answers"
kind = "program"

[features.first]
low = 0.0
high = 1.0
bins = 8

[features.second]
low = 0.0
high = 1.0
bins = 8

[profiles.default.splits]
search = "search.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"

[profiles.default.settings]
zoo_seed = ZOO
"""

TASK = (
    f"The program holds one answer, a whole number from 0 to {VALUES - 1}, for every kind of question. "
    "Items name a kind.\n"
)

EVALUATOR = f'''"""The share of items whose kind has the right answer; the right ones follow from the zoo seed."""

import random

from evolve.errors import CandidateError
from evolve.evaluation import Evaluation


def evaluate(candidate):
    kinds = [item["kind"] for item in candidate.items]
    answers = candidate.call("answer", kinds)
    for kind, given in zip(kinds, answers, strict=True):
        if given not in range({VALUES}):
            raise CandidateError(f"the answer of {{kind}} is {{given}}; it must lie between 0 and {VALUES - 1}")
    rng = random.Random(candidate.settings["zoo_seed"])
    right = {{f"k{{number:02d}}": rng.randrange({VALUES}) for number in range({len(KINDS)})}}
    outcomes = [float(right[kind] == given) for kind, given in zip(kinds, answers, strict=True)]
    halves = [[value for kind, value in zip(kinds, outcomes) if (kind < "k{len(KINDS) // 2}") == first]
              for first in (True, False)]
    shares = [sum(half) / max(len(half), 1) for half in halves]
    score = sum(outcomes) / len(outcomes)
    return Evaluation(score=score, features={{"first": shares[0], "second": shares[1]}}, outcomes=outcomes)
'''


def program(answers: dict[str, int]) -> str:
    """The text of the program with these answers."""
    lines = "".join(f'    "{kind}": {value},\n' for kind, value in answers.items())
    return (
        f"# EVOLVE-BLOCK-START\nANSWERS = {{\n{lines}}}\n# EVOLVE-BLOCK-END\n\n\n"
        "def answer(kinds):\n    return [ANSWERS[kind] for kind in kinds]\n"
    )


def write(folder: Path, zoo: int) -> Path:
    """Writes the problem, whose right answers and items follow from ``zoo``, and returns its folder."""
    target = folder / "problems" / f"answers_zoo{zoo}"
    (target / "seeds").mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"items of {zoo}")
    files = {
        "problem.toml": MANIFEST.replace("ZOO", str(zoo)),
        "task.md": TASK,
        "evaluate.py": EVALUATOR,
        "seeds/zeros.py": program(dict.fromkeys(KINDS, 0)),
    }
    for split, count in ITEMS.items():
        # Every kind is in every split, so that a faulty answer fails in the search already.
        items = [{"kind": kind} for kind in (*KINDS, *rng.choices(KINDS, k=count - len(KINDS)))]
        files[f"{split}.jsonl"] = "".join(json.dumps(item) + "\n" for item in items)
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    return target
