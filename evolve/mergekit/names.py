"""Python identifiers for models, parameters and filters."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence

BASE = "base"
_TAKEN = frozenset(
    {"site", "donors", "merged", "totals", "gather", "stack", "merge", "knob", "at", "position", "depth", "layer",
     "weights", "range", "sum", "float", "list"}
)  # fmt: skip


class Names:
    """Gives each name out once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*_TAKEN, *taken}

    def new(self, *parts: str) -> str:
        """The parts as one identifier, with a number where it is taken."""
        stem = "_".join(word for part in parts for word in re.findall(r"[A-Za-z0-9]+", part)).lower() or "model"
        if stem[0].isdigit():
            stem = f"m{stem}"
        name, count = stem, 1
        while name in self._taken or keyword.iskeyword(name):
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name


def donor_names(models: Sequence[str], base: str | None, names: Names, known: Mapping[str, str]) -> dict[str, str]:
    """A donor name for each model: the known one, else from the last part of its path; that of ``base`` is ``base``.

    The donor called base gives the architecture, so without one no other than the first may have that name.
    """
    found = {}
    for name in known.values():
        names.new(name)
    if base is not None or not models or last_part(models[0]).lower() != BASE:
        names.new(BASE)  # nobody else gets it
    for model in models:
        found[model] = known.get(model) or (BASE if model == base else names.new(last_part(model)))
    return found


def last_part(model: str) -> str:
    """``7b`` of ``models/7b/`` or ``someone/7b@main``."""
    return model.split("@")[0].rstrip("/").rpartition("/")[2]
