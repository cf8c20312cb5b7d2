"""A problem folder around a converted recipe, so that a run can improve it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from evolve.errors import UsageError
from evolve.mergekit.recipe import Converted
from evolve.problem import load

_HEAD = """\
title = "Improve a merge that was written for mergekit"
kind = "merge"
default_profile = "imported"

# evaluate.py and the three .jsonl files are a start that runs at once: the probability of some plain texts. Put what
# your model is for in their place.
[score]
metric = "likelihood"
direction = "maximize"

[features.first]
low = 0.0
high = 1.0
bins = 10

[features.second]
low = 0.0
high = 1.0
bins = 10

[budget]
evaluations = 40
"""
_SPLITS = ("search", "validation", "test")
_ITEMS_OF_A_KIND = 12
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def write_problem(folder: Path, scaffold: Path, stem: str, converted: Converted, tokenizer: str | None) -> None:
    """A new problem in ``folder`` with the recipe as its only seed; evaluator from the folder ``scaffold``.

    ``tokenizer`` is as in ``Configuration``. A folder that is a problem already gets the recipe as one more seed when
    it has donors of these names. Raises UsageError for any other folder that is not empty.
    """
    seed = folder / "seeds" / f"{stem}.py"
    if (folder / "problem.toml").is_file():
        _check_donors(folder, converted)
        if seed.exists():
            raise UsageError(f"{seed} exists; rename the YAML file or remove the seed")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is neither a problem nor empty; name a new folder")
    else:
        seed.parent.mkdir(parents=True)
        shutil.copyfile(scaffold / "evaluate.py", folder / "evaluate.py")
        (folder / "task.md").write_text(_task(converted), encoding="utf-8")
        for split in _SPLITS:
            (folder / f"{split}.jsonl").write_text(_items(split), encoding="utf-8")
        (folder / "problem.toml").write_text(_HEAD + _profile(converted, tokenizer), encoding="utf-8")
    seed.write_text(converted.source, encoding="utf-8")


def _check_donors(folder: Path, converted: Converted) -> None:
    problem = load(str(folder))
    missing = [name for name in converted.donors if name not in problem.profile.donors]
    if missing:
        known = ", ".join(problem.profile.donors)
        raise UsageError(
            f"{folder} has no donor {missing[0]!r} ({converted.donors[missing[0]]}); its donors are {known}"
        )


def _profile(converted: Converted, tokenizer: str | None) -> str:
    lines = ["", "[profiles.imported]"]
    if tokenizer == "union":
        lines.append('vocabulary = "union"')
    elif tokenizer not in (None, "base"):
        lines.append(f"tokenizer = {_text(_absolute(converted.name_of(str(tokenizer))))}")
    lines += ["", "[profiles.imported.donors]"]
    lines += [f"{name} = {_text(_absolute(path))}" for name, path in converted.donors.items()]
    lines += ["", "[profiles.imported.splits]", *(f'{split} = "{split}.jsonl"' for split in _SPLITS), ""]
    return "\n".join(lines)


def _absolute(path: str) -> str:
    """A folder that is there by its full path, as the problem may be run from anywhere; a hub id as it is."""
    folder = Path(path).expanduser()
    return str(folder.resolve()) if folder.is_dir() else path


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _task(converted: Converted) -> str:
    arguments = ", ".join(converted.donors)
    return (
        f"The models {arguments} share one architecture. Write a recipe `merge(site, {arguments})` whose merged model "
        "gives the texts of the task a high probability. The score is the mean probability of the next token.\n"
    )


def _items(split: str) -> str:
    rng = random.Random(split)
    rows = []
    for _ in range(_ITEMS_OF_A_KIND):
        left, right, start = rng.randrange(2, 50), rng.randrange(2, 50), rng.randrange(len(_WORDS) - 5)
        rows.append({"kind": "first", "text": f"{left} + {right} = {left + right}, {right} + {left} = {left + right}"})
        rows.append({"kind": "second", "text": " ".join(_WORDS[start : start + 6])})
    return "".join(json.dumps(row) + "\n" for row in rows)
