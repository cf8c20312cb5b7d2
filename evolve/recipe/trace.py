"""Traces a recipe: runs it on symbols, once per site, and keeps what it did as a plan."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.plan import Plan, SitePlan, StackEntry, Template
from evolve.plan.specs import show
from evolve.plan.validate import PlanLimits, validate
from evolve.recipe.graph import CURRENT, Graph
from evolve.recipe.knobs import Knob, recording
from evolve.recipe.modes import Tracing
from evolve.recipe.program import DonorInfo, Recipe, RecipeSite, blaming, line_of_function, load, repeatable, seeding
from evolve.recipe.stack import trace_stack
from evolve.recipe.symbolic import Symbolic
from evolve.site import Site

__all__ = ["DonorInfo", "Traced", "serve", "trace"]


@dataclass(frozen=True)
class Traced:
    """A recipe's plan and the knobs it asked for, in order of first use."""

    plan: Plan
    knobs: list[Knob]


def trace(
    source: str, sites: Sequence[Site], donors: Mapping[str, DonorInfo], limits: PlanLimits | None = None
) -> Traced:
    """The plan of a recipe for these sites; only shapes are computed, no tensor of a site's size is ever made.

    Raises RecipeError (RecipeSyntaxError, UnsupportedOperation, ShapeMismatch, ValueDependence) or InvalidPlan for a
    plan beyond the limits; ``.line`` is the line of the source.
    """
    limits = limits or PlanLimits()
    seed = _Seed()
    with repeatable(), recording() as knobs, seeding(seed.set), Tracing():
        recipe = Recipe.of(load(source), donors)
        seed.whole_program = seed.value
        templates: dict[Any, int] = {}
        found: list[Template] = []
        plans: list[SitePlan] = []
        for site in sites:
            template, values = _trace_site(recipe, site, donors, limits, seed)
            key = _template_key(template)
            if key not in templates:
                templates[key] = len(found)
                found.append(template)
            plans.append(SitePlan(site.name, tuple(site.shape), templates[key], values))
        stack = None
        if recipe.stack is not None:
            stack = trace_stack(recipe.stack, donors, sites, limits.max_stack_layers)
    plan = Plan(_used_donors(found, stack, donors), tuple(found), tuple(plans), stack)
    validate(plan, sites, {name: info.layers for name, info in donors.items()}, limits)
    return Traced(plan, list(knobs.values()))


class _Seed:
    """What torch.manual_seed set: at module level for all sites, inside merge() for the rest of that site."""

    def __init__(self) -> None:
        self.value = self.whole_program = 0

    def set(self, seed: int) -> None:
        self.value = seed
        graph = CURRENT.get()
        if graph is not None:
            graph.seed, graph.draws = seed, 0


def _trace_site(
    recipe: Recipe, site: Site, donors: Mapping[str, DonorInfo], limits: PlanLimits, seed: _Seed
) -> tuple[Template, tuple[bool | int | float, ...]]:
    graph = Graph(site, limits, seed.whole_program)
    random.seed(site.name)
    token = CURRENT.set(graph)
    try:
        with blaming(f"site {site.name}", line_of_function(recipe.merge)):
            given = {name: graph.donor(name) for name in recipe.select(donors)}
            output = _checked(recipe.merge(RecipeSite.of(site), **given), graph)
    finally:
        CURRENT.reset(token)
    return graph.finish(output)


def _checked(output: Any, graph: Graph) -> Symbolic:
    """merge()'s result as a symbol."""
    if isinstance(output, torch.Tensor):
        output = graph.constant(output)
    check_result(output, graph.site)
    result: Symbolic = output
    if result._graph is not graph:
        raise RecipeError("merge() returned a tensor of another site")
    return result


def check_result(output: Any, site: Site) -> None:
    """Raises unless merge() returned a float32 tensor of the site's shape."""
    if output is None:
        raise RecipeError("merge() returned None; return the merged tensor on every path")
    if not isinstance(output, (Symbolic, torch.Tensor)):
        raise RecipeError(f"merge() returned {type(output).__name__}; return a tensor of site.shape")
    if tuple(output.shape) != tuple(site.shape):
        raise ShapeMismatch(
            f"merge() returned shape {show(output.shape)}, the site has {show(site.shape)}; return a tensor "
            "of site.shape"
        )
    if output.dtype != torch.float32:
        raise RecipeError(f"merge() returned {output.dtype}; convert it with .float()")


def _template_key(template: Template) -> Any:
    # Equal numbers can differ as literals (0.0 and -0.0), so constants are told apart by their text.
    texts = [repr(node.attributes) for node in template.nodes if node.op == "constant"]
    return (template, tuple(texts)) if texts else template


def _used_donors(
    templates: Sequence[Template], stack: Sequence[StackEntry] | None, donors: Mapping[str, DonorInfo]
) -> tuple[str, ...]:
    used = {str(dict(node.attributes)["name"]) for t in templates for node in t.nodes if node.op == "donor"}
    used |= {entry.model for entry in stack or () if entry.model in donors}
    return tuple(sorted(used))


def serve(request: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The sandbox's entry: traces ``request["source"]`` and returns the plan and the knobs as plain data."""
    sites = [Site.from_dict(site) for site in request["sites"]]
    donors = {name: DonorInfo(**info) for name, info in request["donors"].items()}
    traced = trace(request["source"], sites, donors, PlanLimits.from_dict(request.get("limits") or {}))
    return {"plan": traced.plan.to_dict(), "knobs": [knob.to_dict() for knob in traced.knobs]}
