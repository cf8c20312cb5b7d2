"""Tools to trace small pieces of code and to compare them with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from evolve.execute.executor import Executor
from evolve.plan.plan import Plan, SitePlan
from evolve.plan.validate import PlanLimits
from evolve.recipe.graph import CURRENT, Graph
from evolve.recipe.modes import Eager, Tracing, mark_symbolic
from evolve.recipe.symbolic import Symbolic
from evolve.site import Site

torch.set_num_threads(1)


def site_of(shape: tuple[int, ...], name: str = "model.layers.0.self_attn.q_proj.weight") -> Site:
    return Site(name, 0, 0.25, "q_proj", "attention", shape)


def flat(result: Any) -> list[Any]:
    """The tensors in a result that may be a tuple of them."""
    if isinstance(result, (list, tuple)):
        return [part for item in result for part in flat(item)]
    return [result]


def run_eagerly(function: Callable[..., Any], donors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    shape = tuple(next(iter(donors.values())).shape)
    with Eager() as mode, torch.no_grad():
        mode.begin(site_of(shape).name, 0)
        given = {name: tensor.float() for name, tensor in donors.items()}
        mark_symbolic(list(given.values()))
        return flat(function(**given))


def run_traced(function: Callable[..., Any], donors: dict[str, torch.Tensor]) -> list[tuple[Symbolic, torch.Tensor]]:
    """Each symbol that the function returns with what the executor computes for it."""
    shape = tuple(next(iter(donors.values())).shape)
    site = site_of(shape)
    graph = Graph(site, PlanLimits())
    token = CURRENT.set(graph)
    try:
        with Tracing():
            symbols = flat(function(**{name: graph.donor(name) for name in donors}))
            symbols = [graph.constant(item) if isinstance(item, torch.Tensor) else item for item in symbols]
    finally:
        CURRENT.reset(token)
    pairs = []
    for symbol in symbols:
        template, values = graph.finish(symbol)
        plan = Plan(tuple(sorted(donors)), (template,), (SitePlan(site.name, shape, 0, values),))
        pairs.append((symbol, Executor(plan).compute_site(0, donors)))
    return pairs


@pytest.fixture
def make_site() -> Callable[..., Site]:
    return site_of


@pytest.fixture
def traced() -> Callable[..., list[tuple[Symbolic, torch.Tensor]]]:
    return run_traced


@pytest.fixture
def eagerly() -> Callable[..., list[torch.Tensor]]:
    return run_eagerly
