"""What ends a program in the sandbox through no fault of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from evolve.errors import EvolveError, SandboxError, SandboxMemory
from evolve.sandbox.launcher import ServerGone

T = TypeVar("T")


def is_accident(error: EvolveError) -> bool:
    """Whether the sandbox failed, or the system killed the process as it does when memory runs out.

    A program that exceeds its own limit has ``kind`` MemoryError or RecursionError in place of the class's name.
    """
    killed = isinstance(error, SandboxMemory) and error.kind == SandboxMemory.__name__
    return killed or isinstance(error, (ServerGone, SandboxError))


def with_second_try(act: Callable[[], T]) -> T:
    """What ``act`` returns, called once more after an accident; of a second one the error is raised."""
    try:
        return act()
    except EvolveError as error:
        if not is_accident(error):
            raise
    return act()
