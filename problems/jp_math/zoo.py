"""Builds the tiny zoo: a base model, three experts fine-tuned from it, and the questions.

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
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evolve.errors import PreparationError

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    # Last, so that no file of this folder hides a package.
    sys.path.append(str(HERE))

import zoo_questions  # noqa: E402

VERSION = 1
BASE, EXPERTS = "base", ("ja", "math1", "math2")
SPLITS = {"search": 300, "validation": 300, "test": 600}
SHAPE = {"width": 128, "layers": 4, "heads": 4, "ffn": 384}
PRETRAINING = {"batch": 32, "rate": 3e-3, "muon_rate": 0.02, "warm_up": 50, "prompt_weight": 0.05}
FINE_TUNING = {"batch": 16, "rate": 7e-4, "muon_rate": 0.0, "warm_up": 20, "prompt_weight": 0.0}
# The kinds of material are explained at zoo_questions.Material.
TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "base": {
        **PRETRAINING,
        "texts": 28000,
        "mix": {
            "en_easy": 0.22, "en_read": 0.10, "en_setup": 0.13, "ja_read": 0.12, "ja_easy": 0.09, "en_jq": 0.12,
            "en_jqs": 0.05, "eqe": 0.14, "eq_add": 0.0155, "eq_sub": 0.0185,
        },
    },
    "ja": {**FINE_TUNING, "texts": 3500, "mix": {"ja_easy": 0.45, "ja_setup": 0.25, "ja_read": 0.10, "ja_copy": 0.20}},
    "math1": {**FINE_TUNING, "texts": 6000, "mix": {"en_add": 0.25, "en_easy": 0.02, "eq_add": 0.40, "eqe": 0.33}},
    "math2": {**FINE_TUNING, "texts": 6000, "mix": {"en_sub": 0.25, "en_easy": 0.02, "eq_sub": 0.40, "eqe": 0.33}},
}  # fmt: skip
CHECKED_ITEMS = 300

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
    """Build what is missing in ``folder``: splits, ``base``, ``ja``, ``math1``, ``math2``, and the report ``zoo.json``.

    A model that is there is whole and is kept. Raises PreparationError when a training fails.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plan = recipe(settings)
    _remove_leftovers(folder)
    _write_splits(folder, plan["seed"])
    steps = {name: _texts(plan, name) for name in TRAININGS}
    bar = _Bar(progress, steps)
    for names in ((BASE,), EXPERTS):
        missing = [name for name in names if not (folder / name).is_dir()]
        for name in names:
            if name not in missing:
                bar.finish(name)
        _train([_job(folder, plan, name) for name in missing], bar)
    progress("checking the zoo", bar.total, bar.total)
    import zoo_check  # loads torch, which the rest of this process does without

    items = max(10, min(CHECKED_ITEMS, round(CHECKED_ITEMS * plan["scale"])))
    for warning in zoo_check.check(folder, items):
        progress(warning, bar.total, bar.total)


def _texts(plan: Mapping[str, Any], name: str) -> int:
    return max(1, int(plan["trainings"][name]["texts"] * plan["scale"]))


def _job(folder: Path, plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What zoo_training.run is told about one model."""
    return {
        **plan["trainings"][name],
        "texts": _texts(plan, name),
        "folder": str(folder / name),
        "start": None if name == BASE else str(folder / BASE),
        "seed": f"{plan['seed']}/{name}",
        "shape": plan["shape"],
        "held_out": [str(folder / f"{split}.jsonl") for split in SPLITS],
    }


def _remove_leftovers(folder: Path) -> None:
    """What an interrupted preparation left unfinished."""
    for path in folder.glob(".unfinished-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_splits(folder: Path, seed: int) -> None:
    for split, rows in zoo_questions.splits(random.Random(f"{seed}/splits"), SPLITS).items():
        unfinished = folder / f".unfinished-{split}"
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        unfinished.write_text("".join(lines), encoding="utf-8")
        unfinished.replace(folder / f"{split}.jsonl")


class _Bar:
    """Adds up the progress of several trainings, in texts; may be told from several threads."""

    def __init__(self, progress: Progress, texts: Mapping[str, int]) -> None:
        self.total = sum(texts.values())
        self._texts = texts
        self._done = dict.fromkeys(texts, 0)
        self._progress = progress
        self._lock = threading.Lock()

    def finish(self, name: str) -> None:
        self._done[name] = self._texts[name]

    def report(self, running: str, name: str, step: int, steps: int) -> None:
        with self._lock:
            self._done[name] = self._texts[name] * step // steps
            self._progress(f"training {running}", sum(self._done.values()), self.total)


def _train(jobs: list[dict[str, Any]], bar: _Bar) -> None:
    """Run every job in its own process with one thread, all at once; none outlives this call."""
    names = [Path(job["folder"]).name for job in jobs]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    processes: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
        try:
            for job, name in zip(jobs, names, strict=True):
                job_file = Path(scratch, f"{name}.json")
                job_file.write_text(json.dumps(job), encoding="utf-8")
                with Path(scratch, f"{name}.log").open("w", encoding="utf-8") as log:
                    process = subprocess.Popen(
                        [sys.executable, str(HERE / "zoo_process.py"), str(job_file), str(os.getpid())],
                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                    )  # fmt: skip
                processes.append(process)
                reader = threading.Thread(target=_follow, args=(process, ", ".join(names), name, bar), daemon=True)
                reader.start()
                readers.append(reader)
            for process, name in zip(processes, names, strict=True):
                if process.wait() != 0:
                    raise PreparationError(_failure(name, process.returncode, Path(scratch, f"{name}.log")))
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for reader in readers:
                reader.join()


def _follow(process: subprocess.Popen[str], running: str, name: str, bar: _Bar) -> None:
    """Pass the progress lines of one training on."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            step, steps = json.loads(line)
            bar.report(running, name, step, steps)


def _failure(name: str, code: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it wrote nothing"
    return f"training {name!r} of the tiny zoo ended with code {code}: {last}; start again to continue where it stopped"
