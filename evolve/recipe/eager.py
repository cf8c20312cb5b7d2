"""Runs a recipe on real tensors: the oracle for the executor."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from evolve.errors import InvalidPlan
from evolve.plan.specs import show
from evolve.plan.statistics import STATISTICS, shape_of
from evolve.plan.threads import one_thread
from evolve.recipe.modes import Eager, mark_symbolic
from evolve.recipe.program import TOTALS, Recipe, RecipeSite, SiteFunction, blaming, load, repeatable, seeding
from evolve.recipe.totals import Totals, check_gathered
from evolve.recipe.trace import check_result
from evolve.site import Site

Statistics = Callable[[str, str, str], Tensor]
"""Gives the statistic of (donor, name, site name)."""


def eager(
    program: str | ModuleType,
    site: Site,
    donors: Mapping[str, Tensor],
    *,
    statistics: Statistics | None = None,
    totals: Mapping[str, float] | None = None,
) -> Tensor:
    """The merged parameter of one site, computed by the recipe itself: float32 of the site's shape.

    ``program`` is a recipe's source or a loaded module; ``donors`` hold this site's tensors in any float dtype and
    are not changed; ``totals`` are those of ``eager_totals``. Noise has the bits of the traced plan's. torch has one
    thread meanwhile. Raises the RecipeErrors of tracing where they apply.
    """
    with _running(program, donors) as (recipe, mode), blaming(f"site {site.name}", recipe.merge.line):
        mode.begin(site.name, mode.seed)
        output = _call(recipe.merge, site, donors, mode, statistics, totals or {})
        check_result(output, site)
    result: Tensor = output
    return result


def eager_totals(
    program: str | ModuleType,
    sites: Sequence[Site],
    donors_of: Callable[[str], Mapping[str, Tensor]],
    statistics: Statistics | None = None,
) -> dict[str, float]:
    """The totals of a recipe over all sites; ``donors_of(site name)`` are a site's tensors.

    Each number is rounded to float32, the sums are formed in float64 in the order of the sites and rounded once to
    float32. Empty for a recipe without gather(). Raises as ``eager`` does.
    """
    sums: dict[str, float] = {}
    if not sites:
        return sums
    with _running(program, donors_of(sites[0].name)) as (recipe, mode):
        if recipe.gather is None:
            return sums
        seed = mode.seed
        for site in sites:
            mode.begin(site.name, seed)
            with mode.paused():
                donors = donors_of(site.name)
            with blaming(f"gather() at site {site.name}", recipe.gather.line):
                returned = _call(recipe.gather, site, donors, mode, statistics, {})
                for name, number in check_gathered(returned).items():
                    sums[name] = sums.get(name, 0.0) + torch.as_tensor(number).to(torch.float32).item()
    return {name: torch.tensor(value, dtype=torch.float64).float().item() for name, value in sorted(sums.items())}


@contextmanager
def _running(program: str | ModuleType, donors: Collection[str]) -> Iterator[tuple[Recipe, Eager]]:
    """A loaded recipe inside its mode."""
    mode = Eager()
    with one_thread(), repeatable(), seeding(mode.set_seed), mode, torch.no_grad():
        module = load(program) if isinstance(program, str) else program
        yield Recipe.of(module, donors), mode


def _call(
    function: SiteFunction,
    site: Site,
    donors: Mapping[str, Tensor],
    mode: Eager,
    statistics: Statistics | None,
    totals: Mapping[str, float],
) -> Any:
    """What the function returns for copies of the donors' tensors."""
    random.seed(site.name)
    with mode.paused():
        given: dict[str, Any] = {name: _copied(donors[name]) for name in function.select(donors)}
    if function.totals:
        given[TOTALS] = Totals(totals, lambda name: _copied(torch.tensor(totals[name])))

    def read(donor: str, name: str) -> Tensor:
        assert statistics is not None
        with mode.paused():
            tensor, shape = _copied(statistics(donor, name, site.name)), shape_of(name, site)
        if tuple(tensor.shape) != shape:
            raise InvalidPlan(
                f"statistic {name!r} of donor {donor!r} has shape {show(tensor.shape)}, not {show(shape)}"
            )
        return tensor

    prepared = dict.fromkeys(donors, () if statistics is None else tuple(STATISTICS))
    return function.call(RecipeSite.of(site, prepared, read), **given)


def _copied(tensor: Tensor) -> Tensor:
    """A float32 copy that counts as a symbol."""
    copy = tensor.detach().to(torch.float32, copy=True).contiguous()
    mark_symbolic(copy)
    return copy
