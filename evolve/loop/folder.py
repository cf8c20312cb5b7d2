"""Run folders: where they lie, how they are named and found, and what a new one holds."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.errors import RunError
from evolve.store.connection import FILE_NAME

if TYPE_CHECKING:
    from evolve.config import RunConfig
    from evolve.problem import Problem


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
    from evolve.config import nearest

    raise RunError(f"there is no run {name!r} in {root}/; {nearest(name, known)}")


def taken(folder: Path) -> RunError:
    """Why a new run cannot have a folder that is there already."""
    if (folder / FILE_NAME).is_file():
        return RunError(
            f"{folder} exists already; resume it with `evolve resume {folder.name}` or choose another --name"
        )
    return RunError(
        f"{folder} exists and holds no run, as after a start that was cut off; remove it or choose another --name"
    )


def claim(folder: Path) -> None:
    """Makes the folder of a new run. Raises RunError when it exists, or cannot be made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise taken(folder) if folder.exists() else _unusable(folder, error) from error


def snapshot(problem: Problem, folder: Path) -> Problem:
    """Copies the problem into the run folder, so that the run stays what it was when the original changes.

    Raises RunError when that cannot be written.
    """
    target = folder / "problem" / problem.name
    try:
        shutil.copytree(problem.folder, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".git"))
    except shutil.Error as error:  # one line for each file; the first says it
        raise RunError(f"the problem cannot be copied to {target}: {error.args[0][0][2]}; check the disk") from error
    except OSError as error:
        raise _unusable(target, error) from error
    return replace(problem, folder=target)


def _unusable(path: Path, error: OSError) -> RunError:
    cause = error.strerror or str(error)
    return RunError(f"{path} cannot be written: {cause}; check the disk and the folder's permissions")


def settings(kind: str, config: RunConfig, donors: dict[str, str], prepared: Path | None) -> dict[str, Any]:
    """What the database keeps of a run's settings; ``donors`` are paths that the user put in place of the problem's."""
    made = str(prepared) if prepared else None
    return {"kind": kind, "config": asdict(config), "donors": donors, "prepared": made}


def restore(folder: Path, name: str, profile: str, stored: dict[str, Any]) -> tuple[Problem, RunConfig]:
    """Problem and settings of an existing run. Raises ProblemError or RunError when the folder's copy is damaged."""
    from evolve.config import RunConfig, update
    from evolve.problem import load

    source = folder / "problem" / name
    if not (source / "problem.toml").is_file():
        raise RunError(f"{folder} has lost its copy of the problem ({source}); put the problem folder back there")
    has_profiles = bool(load(str(source)).manifest.profiles)
    problem = load(str(source), profile if has_profiles else None).with_donors(stored.get("donors", {}))
    return problem, update(RunConfig(), stored["config"], f"the settings of run {folder.name}", RunError)
