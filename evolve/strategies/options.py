"""The table ``[search.options]`` of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from evolve.config import build
from evolve.errors import UsageError

if TYPE_CHECKING:
    from evolve.strategies.base import Setting

T = TypeVar("T")


@dataclass(frozen=True)
class NoOptions:
    """For strategies without settings."""


def options_of(kind: type[T], setting: Setting, choices: Mapping[str, tuple[str, ...]] | None = None) -> T:
    """The options as the dataclass ``kind``; ``choices`` lists the words that a text may be.

    Raises UsageError for unknown keys, wrong types and other words.
    """
    made = build(kind, setting.options, "search.options")
    for key, known in (choices or {}).items():
        if getattr(made, key) not in known:
            raise UsageError(f"search.options.{key} must be one of {', '.join(known)}, not {getattr(made, key)!r}")
    return made
