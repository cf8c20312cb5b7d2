"""Search strategies by name."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from evolve.config import nearest
from evolve.errors import UsageError
from evolve.strategies.base import DEFAULT

if TYPE_CHECKING:
    from evolve.strategies.base import Setting, Strategy

GROUP = "evolve.strategies"
"""Entry points of this group are functions ``make(setting) -> Strategy``."""

BUILT_IN = {
    "cmaes": ("task_arithmetic", "TaskArithmetic"),
    "parameter_space": ("parameter_space", "ParameterSpace"),
    "data_flow": ("data_flow", "DataFlow"),
    "random": ("uniform", "Uniform"),
    "repeated": ("repeated", "Repeated"),
    "genome": ("genome", "Genome"),
    "evollm": ("evollm", "EvoLLM"),
}
"""Modules and classes, imported when they are asked for."""


def names() -> list[str]:
    """The strategies that can be named, the default first, then the other built-in ones."""
    own = [DEFAULT, *BUILT_IN]
    return [*own, *(point.name for point in entry_points(group=GROUP) if point.name not in own)]


def require(name: str) -> None:
    """Raises UsageError for an unknown name."""
    if name not in (known := names()):
        raise UsageError(f"unknown search strategy {name!r}; {nearest(name, known)}")


def make(name: str, setting: Setting) -> Strategy:
    """A new strategy by name; the default one is built by the loop.

    Raises UsageError for an unknown name, for options that the strategy does not have, and for a problem that it
    cannot search.
    """
    made: Strategy
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        made = getattr(import_module(f"evolve.strategies.{module}"), attribute)(setting)
        return made
    for point in entry_points(group=GROUP):
        if point.name == name:
            made = point.load()(setting)
            return made
    require(name)
    raise UsageError(f"the strategy {name!r} is built by the loop; leave search.strategy out for it")
