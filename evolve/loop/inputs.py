"""What scores depend on beside the program: the code and settings that judge, the items, the donors.

A run notes a digest of each when it starts and compares them whenever it goes on. Where one has changed, old scores and
new ones would not mean the same: the run refuses, or, told to accept the change, sets its evaluations aside and
evaluates its elites again as new proposals.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.errors import RunError
from evolve.store.inputs import newest

if TYPE_CHECKING:
    from evolve.problem import Problem
    from evolve.store.database import Database


def digests(problem: Problem, made: Path | None, donors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """sha256 of everything that scores depend on, by a name for people.

    ``made`` is the folder of the prepare hook, ``donors`` what a worker said of each (its ``digest``). The code is that
    of the problem folder without its seeds: which of its modules the evaluator imports cannot be known.
    """
    code = (path for path in problem.folder.rglob("*.py") if problem.folder / "seeds" not in path.parents)
    manifest, profile = problem.manifest, problem.profile
    judged = {
        "score": asdict(manifest.score),
        "features": {name: asdict(axis) for name, axis in manifest.features.items()},
        "tasks": problem.tasks,
        "settings": profile.settings,
        "vocabulary": problem.vocabulary,
    }
    splits = problem.splits(made)
    return {
        "the evaluator": _of_files(sorted(code), problem.folder),
        "the settings of problem.toml": hashlib.sha256(json.dumps(judged, sort_keys=True).encode()).hexdigest(),
        **{f"the items of {split}": _of_files([Path(path)]) for split, path in sorted(splits.items())},
        **{f"donor {name}": str(facts["digest"]) for name, facts in sorted(donors.items())},
    }


def _of_files(paths: Iterable[Path], root: Path | None = None) -> str:
    found = hashlib.sha256()
    for path in paths:
        name = str(path.relative_to(root)) if root else ""
        found.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def compare(database: Database, current: Mapping[str, str], accept: bool) -> list[str]:
    """Compares with what the run noted last, and notes what is new; returns the names of what has changed.

    With ``accept`` the evaluations made so far are set aside. Raises RunError without it, when something has changed.
    """
    before = newest(database.connection)
    if before is None:
        database.note_inputs(current)
        return []
    changed = sorted(name for name in {*before, *current} if before.get(name) != current.get(name))
    if changed and not accept:
        raise RunError(
            f"{', '.join(changed)} changed since this run's scores were made; put the old version back, or accept it "
            "with `evolve resume --accept-changes`, which evaluates the elites again"
        )
    if changed:
        database.replace_inputs(current, changed)
    return changed
