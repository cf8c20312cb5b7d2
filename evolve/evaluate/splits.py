"""The items of a problem's splits."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve.errors import ProblemError

SEALED = ("test", "held_out")
HELD_OUT = "held_out"


class Splits:
    """Reads each split's JSONL file (one object per line) when it is first asked for; the sealed ones not before."""

    def __init__(self, paths: Mapping[str, str | Path], tasks: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """``tasks`` are the problem's, with ``weight`` and ``held_out``; each item must then name one of its split.

        Raises ProblemError for a file that does not exist.
        """
        self._tasks = dict(tasks or {})
        self._paths = {name: Path(path) for name, path in paths.items()}
        self._items: dict[str, list[dict[str, Any]]] = {}
        for name, path in self._paths.items():
            if not path.is_file():
                raise ProblemError(
                    f"the file of split {name!r} is missing: {path}; make it as the problem's README.md says (a JSON "
                    "object per line), name another in the profile's [splits], or another folder with EVOLVE_DATA"
                )

    def items(self, name: str, wanted: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """A fresh copy of the split's items, or of some of them; a problem that declares no ``search`` split has none
        in it."""
        if name not in self._items:
            if name not in self._paths and name != "search":
                known = ", ".join(self._paths) or "none"
                raise ProblemError(f"the problem has no split {name!r}; its splits: {known}")
            items = _read(self._paths[name]) if name in self._paths else []
            if items and self._tasks:
                _check_tasks(items, name, self._tasks, self._paths[name])
            self._items[name] = items
        held = self._items[name]
        return copy.deepcopy(held if wanted is None else [held[position] for position in wanted])

    def counts(self) -> dict[str, int | None]:
        """Number of items by split; None for a sealed split, which stays closed."""
        return {name: None if name in SEALED else len(self.items(name)) for name in self._paths}


def _check_tasks(
    items: Sequence[Mapping[str, Any]], split: str, tasks: Mapping[str, Mapping[str, Any]], path: Path
) -> None:
    """Every item names a task of this split, and every task of it has an item, so that the score means the same."""
    wanted = {name for name, task in tasks.items() if bool(task["held_out"]) == (split == HELD_OUT)}
    for number, item in enumerate(items, 1):
        task = item.get("task")
        if not isinstance(task, str) or task not in tasks:
            raise ProblemError(f"{path}, item {number}: task {task!r} is none of problem.toml's: {', '.join(tasks)}")
        if task not in wanted:
            kind = "held out; move the item to the split 'held_out'" if split != HELD_OUT else "not held out; remove it"
            raise ProblemError(f"{path}, item {number}: split {split!r} holds the task {task!r}, which is {kind}")
    if missing := wanted - {item["task"] for item in items}:
        raise ProblemError(f"{path}: split {split!r} has no item of the task {min(missing)!r}; add some")


def _read(path: Path) -> list[dict[str, Any]]:
    items = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except ValueError as error:
                raise ProblemError(f"{path}, line {number}: no JSON ({error})") from None
            if not isinstance(item, dict):
                raise ProblemError(f"{path}, line {number}: {type(item).__name__} in place of an object")
            items.append(item)
    if not items:
        raise ProblemError(f"{path} holds no items")
    return items
