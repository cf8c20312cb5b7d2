"""Run folders: where they lie, how they are named and found, and what a new one holds."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from evolve.config import RunConfig, nearest, update
from evolve.errors import RunError
from evolve.problem import Problem, load
from evolve.store.connection import FILE_NAME


def runs_root(chosen: str | None = None) -> Path:
    """The folder of all runs: the argument, ``EVOLVE_RUNS``, else ``runs`` here."""
    return Path(chosen or os.environ.get("EVOLVE_RUNS") or "runs")


def new_id(problem: Problem, seed: int, root: Path) -> str:
    """A free name such as ``jp_math-20260131-120000-s0``."""
    stem = f"{problem.name}-{datetime.now():%Y%m%d-%H%M%S}-s{seed}"
    number, name = 1, stem
    while (root / name).exists():
        number += 1
        name = f"{stem}-{number}"
    return name


def find(name: str | None, root: Path) -> Path:
    """The folder of a run: a path, an id, a unique part of an id, or the newest run when ``name`` is None.

    Raises RunError naming the nearest runs when there is none or more than one.
    """
    if name is not None and (Path(name) / FILE_NAME).is_file():
        return Path(name)
    known = {path.parent.name: path.parent for path in root.glob(f"*/{FILE_NAME}")}
    if name is None or name == "latest":
        if not known:
            raise RunError(f"there is no run in {root}/ yet; start one with `evolve run problems/jp_math`")
        return max(known.values(), key=lambda folder: (folder / FILE_NAME).stat().st_mtime)
    matches = [key for key in known if key == name] or [key for key in known if name in key]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise RunError(f"{name!r} fits {len(matches)} runs: {', '.join(sorted(matches)[:5])}; give more of the name")
    raise RunError(f"there is no run {name!r} in {root}/; {nearest(name, known)}")


def snapshot(problem: Problem, folder: Path) -> Problem:
    """Copies the problem into the run folder, so that the run stays what it was when the original changes."""
    target = folder / "problem" / problem.name
    shutil.copytree(problem.folder, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".git"))
    return Problem(problem.name, target, problem.manifest, problem.profile_name)


def settings(kind: str, config: RunConfig, donors: dict[str, str], prepared: Path | None) -> dict[str, Any]:
    """What the database keeps of a run's settings; ``donors`` are paths that the user put in place of the problem's."""
    made = str(prepared) if prepared else None
    return {"kind": kind, "config": asdict(config), "donors": donors, "prepared": made}


def restore(folder: Path, name: str, profile: str, stored: dict[str, Any]) -> tuple[Problem, RunConfig]:
    """Problem and settings of an existing run. Raises ProblemError or RunError when the folder's copy is damaged."""
    source = folder / "problem" / name
    if not (source / "problem.toml").is_file():
        raise RunError(f"{folder} has lost its copy of the problem ({source}); put the problem folder back there")
    has_profiles = bool(load(str(source)).manifest.profiles)
    problem = load(str(source), profile if has_profiles else None).with_donors(stored.get("donors", {}))
    return problem, update(RunConfig(), stored["config"], f"the settings of run {folder.name}", RunError)
