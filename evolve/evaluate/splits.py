"""The items of a problem's splits."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve.errors import ProblemError

SEALED = "test"


class Splits:
    """Reads each split's JSONL file (one object per line) when it is first asked for; the sealed one not before."""

    def __init__(self, paths: Mapping[str, str | Path]) -> None:
        """Raises ProblemError for a file that does not exist."""
        self._paths = {name: Path(path) for name, path in paths.items()}
        self._items: dict[str, list[dict[str, Any]]] = {}
        for name, path in self._paths.items():
            if not path.is_file():
                raise ProblemError(
                    f"the file of split {name!r} is missing: {path}; make it as the problem's README.md says (a JSON "
                    "object per line), name another in the profile's [splits], or another folder with EVOLVE_DATA"
                )

    def items(self, name: str) -> list[dict[str, Any]]:
        """A fresh copy of the split's items; a problem that declares no ``search`` split has none in it."""
        if name not in self._items:
            if name not in self._paths and name != "search":
                known = ", ".join(self._paths) or "none"
                raise ProblemError(f"the problem has no split {name!r}; its splits: {known}")
            self._items[name] = _read(self._paths[name]) if name in self._paths else []
        return copy.deepcopy(self._items[name])

    def counts(self) -> dict[str, int | None]:
        """Number of items by split; None for the sealed split, which stays closed."""
        return {name: None if name == SEALED else len(self.items(name)) for name in self._paths}


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
