"""Traces a recipe: runs it on symbols, once per site, and keeps what it did as a plan."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from evolve.errors import RecipeError, ShapeMismatch
from evolve.plan.leaves import DONOR_ATTRIBUTES
from evolve.plan.plan import MERGED, Gather, Plan, SitePlan, StackEntry, Template
from evolve.plan.specs import show
from evolve.plan.validate import PlanLimits, validate
from evolve.recipe.graph import CURRENT, Graph
from evolve.recipe.knobs import Knob, recording
from evolve.recipe.modes import Tracing
from evolve.recipe.program import (
    TOTALS,
    DonorInfo,
    Recipe,
    RecipeSite,
    SiteFunction,
    blaming,
    load,
    repeatable,
    seeding,
)
from evolve.recipe.stack import trace_stack
from evolve.recipe.symbolic import Symbolic
from evolve.recipe.totals import Totals, check_gathered
from evolve.site import Site

__all__ = ["DonorInfo", "Traced", "serve", "trace"]

# A template and the numbers for its slots.
_Finished = tuple[Template, tuple[bool | int | float, ...]]


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
        tracer = _Tracer(donors, limits, seed)
        gathered = _trace_gathers(recipe, sites, tracer)
        names = sorted({name for graphs in gathered for name in graphs})
        merged = [tracer.merge(recipe.merge, site, names) for site in sites]
        stack = None
        if recipe.stack is not None:
            stack = trace_stack(recipe.stack, donors, sites, limits.max_stack_layers)
    plan = _assemble(sites, merged, gathered, stack)
    prepared = {name: info.statistics for name, info in donors.items()}
    validate(plan, sites, {name: info.layers for name, info in donors.items()}, limits, statistics=prepared)
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


class _Tracer:
    """Runs a recipe's functions on the symbols of one site after the other."""

    def __init__(self, donors: Mapping[str, DonorInfo], limits: PlanLimits, seed: _Seed) -> None:
        self._donors = donors
        self._prepared = {name: info.statistics for name, info in donors.items()}
        self._limits = limits
        self._seed = seed

    def merge(self, function: SiteFunction, site: Site, totals: Sequence[str]) -> _Finished:
        with self._site(function, site) as graph:
            output = _checked(self._call(function, graph, totals), graph)
        return graph.finish(output)

    def gather(self, function: SiteFunction, site: Site) -> dict[str, _Finished]:
        """The graph of each number that gather() returns for a site."""
        with self._site(function, site, "gather() at ") as graph:
            found = check_gathered(self._call(function, graph, ()))
            if len(found) > self._limits.max_totals:
                raise RecipeError(
                    f"gather() returned {len(found)} names, at most {self._limits.max_totals} are allowed"
                )
            outputs = {name: _scalar(value, graph) for name, value in found.items()}
        return {name: graph.finish(output) for name, output in outputs.items()}

    @contextmanager
    def _site(self, function: SiteFunction, site: Site, where: str = "") -> Iterator[Graph]:
        graph = Graph(site, self._limits, self._seed.whole_program)
        random.seed(site.name)
        token = CURRENT.set(graph)
        try:
            with blaming(f"{where}site {site.name}", function.line):
                yield graph
        finally:
            CURRENT.reset(token)

    def _call(self, function: SiteFunction, graph: Graph, totals: Sequence[str]) -> Any:
        given: dict[str, Any] = {name: graph.donor(name) for name in function.select(self._donors)}
        if function.totals:
            given[TOTALS] = Totals(totals, graph.total)
        return function.call(RecipeSite.of(graph.site, self._prepared, graph.statistic), **given)


def _trace_gathers(recipe: Recipe, sites: Sequence[Site], tracer: _Tracer) -> list[dict[str, _Finished]]:
    """What each site gathers; nothing when merge() asks for no totals."""
    if recipe.gather is None or not recipe.merge.totals:
        return [{} for _ in sites]
    return [tracer.gather(recipe.gather, site) for site in sites]


def _scalar(value: Any, graph: Graph) -> Symbolic:
    """A number that gather() returned, as a float32 symbol without dimensions."""
    if isinstance(value, float):
        return graph.add("full", (value,), {"shape": (), "dtype": "float32"})
    symbol = _own(graph.constant(value) if isinstance(value, torch.Tensor) else value, graph)
    return symbol if symbol.dtype == torch.float32 else graph.add("cast", (symbol,), {"dtype": "float32"})


def _own(symbol: Symbolic, graph: Graph) -> Symbolic:
    if symbol._graph is not graph:
        raise RecipeError("the recipe returned a tensor of another call; a recipe keeps nothing between calls")
    return symbol


def _checked(output: Any, graph: Graph) -> Symbolic:
    """merge()'s result as a symbol."""
    if isinstance(output, torch.Tensor):
        output = graph.constant(output)
    check_result(output, graph.site)
    return _own(output, graph)


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


def _assemble(
    sites: Sequence[Site],
    merged: Sequence[_Finished],
    gathered: Sequence[Mapping[str, _Finished]],
    stack: tuple[StackEntry, ...] | None,
) -> Plan:
    """The plan of these graphs: equal templates once, and only what the totals in use gather."""
    templates: dict[Any, int] = {}
    found: list[Template] = []

    def place(template: Template) -> int:
        key = _template_key(template)
        if key not in templates:
            templates[key] = len(found)
            found.append(template)
        return templates[key]

    places = [place(template) for template, _ in merged]
    used = {leaf["name"] for template in found for leaf in template.leaves("total")}
    plans: list[SitePlan] = []
    for site, index, (_, values), graphs in zip(sites, places, merged, gathered, strict=True):
        gathers = [Gather(name, place(graphs[name][0]), graphs[name][1]) for name in sorted(used & graphs.keys())]
        plans.append(SitePlan(site.name, tuple(site.shape), index, values, tuple(gathers)))
    return Plan(_used_donors(found, stack), tuple(found), tuple(plans), stack)


def _template_key(template: Template) -> Any:
    # Equal numbers can differ as literals (0.0 and -0.0), so constants are told apart by their text.
    texts = [repr(node.attributes) for node in template.nodes if node.op == "constant"]
    return (template, tuple(texts)) if texts else template


def _used_donors(templates: Sequence[Template], stack: Sequence[StackEntry] | None) -> tuple[str, ...]:
    leaves = [(template, op, key) for template in templates for op, key in DONOR_ATTRIBUTES.items()]
    used = {str(leaf[key]) for template, op, key in leaves for leaf in template.leaves(op)}
    used |= {entry.model for entry in stack or () if entry.model != MERGED}
    return tuple(sorted(used))


def serve(request: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The sandbox's entry: traces ``request["source"]`` and returns the plan and the knobs as plain data.

    ``request["donors"]`` maps names to ``{"layers": n, "statistics": [names]}``; statistics may be left out.
    """
    sites = [Site.from_dict(site) for site in request["sites"]]
    donors = {
        name: DonorInfo(info["layers"], tuple(info.get("statistics", ()))) for name, info in request["donors"].items()
    }
    traced = trace(request["source"], sites, donors, PlanLimits.from_dict(request.get("limits") or {}))
    return {"plan": traced.plan.to_dict(), "knobs": [knob.to_dict() for knob in traced.knobs]}
