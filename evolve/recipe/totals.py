"""Totals: what a recipe's gather() returns for each site, and the sums over all sites that merge() reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.document import MAX_NAME_CHARACTERS
from evolve.plan.specs import show
from evolve.recipe.graph import plain_number
from evolve.recipe.program import hint
from evolve.recipe.symbolic import Symbolic

MAX_FLOAT32 = float(torch.finfo(torch.float32).max)


class Totals(Mapping[str, Any]):
    """The sums by name, read-only: tensors without dimensions, made by ``read`` when they are asked for."""

    def __init__(self, names: Collection[str], read: Callable[[str], Any]) -> None:
        self._names = tuple(sorted(names))
        self._read = read

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            found = hint(name, self._names, "gather() returns") if self._names else "gather() returns no name"
            raise RecipeError(f"totals has no {name!r}; {found}", kind="KeyError")
        return self._read(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self._read(name) if name in self._names else default

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def check_gathered(returned: Any) -> dict[str, Any]:
    """What gather() returned: names with tensors without dimensions or finite floats.

    Raises RecipeError or ShapeMismatch naming the entry.
    """
    if not isinstance(returned, Mapping):
        raise RecipeError(
            f"gather() returned {type(returned).__name__}; return a dict such as "
            "{'norm': delta.norm()} on every path, {} where there is nothing to add"
        )
    return {_name(name): _scalar(name, value) for name, value in returned.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise RecipeError(f"gather() returned the name {ascii(name)[:80]}; names are short printable texts")
    return name


def _scalar(name: str, value: Any) -> Any:
    where = f"gather() under {name!r}"
    if isinstance(value, (Symbolic, torch.Tensor)):
        if len(value.shape):
            raise ShapeMismatch(
                f"{where} returned shape {show(value.shape)}; reduce it to one number, for example with .sum()"
            )
        return value
    number = float(plain_number(value, where))
    if abs(number) > MAX_FLOAT32:
        raise RecipeError(f"{where}: the number {number} is beyond float32")
    return number
