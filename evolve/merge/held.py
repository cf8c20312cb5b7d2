"""What each parameter of a live model holds, so that a plan which asks for the same leaves it alone."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from torch import Tensor


class _Entry(NamedTuple):
    key: Hashable
    address: int
    version: int


class Held:
    """The keys of the parameters of one model.

    A parameter that anybody else has written to in place, or whose memory was replaced, holds nothing known any more:
    torch counts such writes, but for those through ``parameter.data`` or a numpy view, which nobody may do to a live
    model.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def holds(self, name: str, key: Hashable, parameter: Tensor) -> bool:
        """Whether the parameter holds what ``key`` stands for."""
        return self._entries.get(name) == _Entry(key, parameter.data_ptr(), parameter._version)

    def note(self, name: str, key: Hashable, parameter: Tensor) -> None:
        """Remembers what has just been written and is finite."""
        self._entries[name] = _Entry(key, parameter.data_ptr(), parameter._version)

    def forget(self, name: str) -> None:
        """Before a parameter is written."""
        self._entries.pop(name, None)
