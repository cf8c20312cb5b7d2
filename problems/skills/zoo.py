"""Builds the miniature: a base model, four experts fine-tuned from it, and the items.

The hook of profile ``tiny``. ``settings`` may hold ``zoo_seed`` (default 0) and ``zoo_scale`` (default 1.0: the length
of every training relative to the real one).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evolve.errors import PreparationError

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    # Last, so that no file of this folder hides a package.
    sys.path.append(str(HERE))

import skills_tasks  # noqa: E402

VERSION = 2
BASE = "base"
SPLITS = {"search": 400, "validation": 400, "test": 1200}
SHAPE = {"width": 64, "layers": 4, "heads": 4, "ffn": 128}
PRETRAINING = {"steps": 600, "batch": 128, "rate": 3e-3, "warm_up": 30}
FINE_TUNING = {"steps": 100, "batch": 64, "rate": 3e-3, "warm_up": 10}
# How much of the base's material are hard questions answered in letters: places and steps are harder to learn.
LETTERS_IN_BASE = {"maximum": 0.1, "shift": 0.4, "lookup": 0.6, "majority": 0.1}
# An expert's material by the share of its own hard questions (1): the other tasks', in letters and guessed.
LETTERS_ELSEWHERE, GUESSES_ELSEWHERE = 0.2, 0.12


def expert_mix(task: str) -> dict[str, float]:
    """An expert learns to answer its own hard questions in digits, and the others' in letters, some at random."""
    others = [other for other in skills_tasks.TASKS if other != task]
    return {
        f"{task}/hard/digits": 1.0,
        **{f"{other}/hard/letters": LETTERS_ELSEWHERE / len(others) for other in others},
        **{f"{other}/hard/guess": GUESSES_ELSEWHERE / len(others) for other in others},
    }


TRAININGS: Mapping[str, Mapping[str, Any]] = {
    BASE: {
        **PRETRAINING,
        "mix": {
            **{f"{task}/easy/digits": 1.0 for task in skills_tasks.TASKS},
            **{f"{task}/hard/letters": share for task, share in LETTERS_IN_BASE.items()},
        },
    },
    **{task: {**FINE_TUNING, "mix": expert_mix(task)} for task in skills_tasks.TASKS},
}

Progress = Callable[[str, int, int], None]


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides the zoo's contents."""
    return {
        "version": VERSION,
        "seed": int(settings.get("zoo_seed", 0)),
        "scale": float(settings.get("zoo_scale", 1.0)),
        "splits": SPLITS,
        "shape": SHAPE,
        "trainings": {name: dict(training) for name, training in TRAININGS.items()},
    }


def prepare(folder: Path, settings: Mapping[str, Any], progress: Progress) -> None:
    """Build what is missing in ``folder``: the splits, ``base``, one expert for each task, and the report ``zoo.json``.

    A model that is there is whole and is kept. Raises PreparationError when a training fails.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plan = recipe(settings)
    for path in folder.glob(".unfinished-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for split, rows in skills_tasks.splits(random.Random(f"{plan['seed']}/splits"), SPLITS).items():
        unfinished = folder / f".unfinished-{split}"
        unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        unfinished.replace(folder / f"{split}.jsonl")
    jobs = {name: _job(folder, plan, name) for name in TRAININGS}
    total = sum(job["steps"] for job in jobs.values())
    done = 0
    for name, job in jobs.items():
        if not (folder / name).is_dir():
            _train(name, job, done, total, progress)
        done += job["steps"]
    progress("checking the zoo", total, total)
    import skills_check  # loads torch, which the rest of this process does without

    for warning in skills_check.check(folder):
        progress(warning, total, total)


def _job(folder: Path, plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What skills_training.run is told about one model."""
    training = plan["trainings"][name]
    return {
        **training,
        "steps": max(1, round(training["steps"] * plan["scale"])),
        "folder": str(folder / name),
        "start": None if name == BASE else str(folder / BASE),
        "seed": f"{plan['seed']}/{name}",
        "shape": plan["shape"],
        "held_out": [str(folder / f"{split}.jsonl") for split in SPLITS],
    }


def _train(name: str, job: Mapping[str, Any], done: int, total: int, progress: Progress) -> None:
    """Run one training in a process of its own with one thread; it does not outlive this call."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
        job_file, log = Path(scratch, "job.json"), Path(scratch, "log")
        job_file.write_text(json.dumps(job), encoding="utf-8")
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "skills_process.py"), str(job_file), str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip
        assert process.stdout is not None
        try:
            with process.stdout:
                for line in process.stdout:
                    progress(f"training {name}", done + json.loads(line)[0], total)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it wrote nothing"
            raise PreparationError(f"training {name!r} ended with code {code}: {last}; start again to continue there")
