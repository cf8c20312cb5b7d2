"""Executes a plan on the donors' tensors, one site at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from evolve.errors import InvalidPlan
from evolve.execute.sitework import SiteWork
from evolve.execute.workspace import Prepared, Workspace
from evolve.plan.leaves import DONOR_ATTRIBUTES
from evolve.plan.plan import Gather, Plan, SitePlan
from evolve.plan.specs import show
from evolve.plan.threads import one_thread

Statistics = Callable[[str, str, str], Tensor]
"""The statistic of a donor (first) by name (second) at a site (third): float32."""


class SiteKey(NamedTuple):
    """What a merged parameter is made by: equal keys are equal numbers, over the same donors."""

    structure: int
    values: tuple[str, ...]
    totals: tuple[tuple[str, float], ...]


class Executor:
    """Computes the merged parameters of a validated plan in float32.

    The results have the bits of the eager recipe, whatever is compiled, kept from earlier plans or split into blocks.
    ``workspace`` carries what may be kept from plan to plan over the same donors. May be shared between threads.
    """

    def __init__(
        self,
        plan: Plan,
        device: str | torch.device = "cpu",
        workspace: Workspace | None = None,
        statistics: Statistics | None = None,
        totals: Mapping[str, float] | None = None,
    ) -> None:
        """``totals`` are needed by a plan that has any; ``gathered`` computes them."""
        self.plan = plan
        self.device = torch.device(device)
        self.workspace = Workspace() if workspace is None else workspace
        self.totals = dict(totals or {})
        self._statistics = statistics
        self.workspace.kept.next_candidate()

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {site.name: index for index, site in enumerate(self.plan.sites)}

    def donors_of(self, site: int | str) -> frozenset[str]:
        """The names of the donors whose tensors one site reads, for its parameter or for a total."""
        plan = self._site(site)
        templates = [plan.template, *(gather.template for gather in plan.gathers)]
        leaves = (leaf for index in templates for leaf in self.plan.templates[index].leaves("donor"))
        return frozenset(str(leaf[DONOR_ATTRIBUTES["donor"]]) for leaf in leaves)

    def site_key(self, site: int | str) -> SiteKey:
        """What identifies the site's merged parameter among all plans over the same donors in this workspace."""
        plan = self._site(site)
        used = {str(leaf["name"]) for leaf in self.plan.templates[plan.template].leaves("total")}
        totals = tuple(sorted((name, value) for name, value in self.totals.items() if name in used))
        return SiteKey(self._prepared(plan, plan).number, tuple(map(repr, plan.values)), totals)

    def compute_site(self, site: int | str, donors: Mapping[str, Tensor]) -> Tensor:
        """The merged parameter of a site, given by position or name: float32 of the site's shape on the device.

        ``donors`` hold this site's tensors in any float dtype; only those the site uses are read. The result may share
        memory with a donor's tensor: copy it before changing it. Raises InvalidPlan for a missing donor or a wrong
        shape, RecipeError where torch refuses a computation (a singular matrix).
        """
        plan = self._site(site)
        with torch.no_grad(), one_thread():
            return self._work(plan, plan, donors).result()

    def write_site(self, site: int | str, donors: Mapping[str, Tensor], out: Tensor) -> bool | Tensor:
        """Computes a site as ``compute_site`` does and rounds it once into ``out``; returns whether all is finite.

        ``out`` is contiguous, has the site's shape, any float dtype, and lies on the device. On a GPU the answer is a
        tensor, so that nothing waits for it.
        """
        plan = self._site(site)
        with torch.no_grad(), one_thread():
            return self._work(plan, plan, donors).write(out)

    def gathered(self, site: int | str, donors: Mapping[str, Tensor]) -> dict[str, float]:
        """What one site adds to each total: float32 numbers."""
        plan = self._site(site)
        with torch.no_grad(), one_thread():
            return {gather.name: float(self._work(gather, plan, donors).result()) for gather in plan.gathers}

    def gather(self, donors_of: Callable[[str], Mapping[str, Tensor]]) -> None:
        """Computes the plan's totals over all sites: sums in float64 in their order, rounded once to float32."""
        sums = dict.fromkeys(self.plan.totals, 0.0)
        for site in self.plan.sites:
            if site.gathers:
                for name, number in self.gathered(site.name, donors_of(site.name)).items():
                    sums[name] += number
        self.totals = {name: float(torch.tensor(total, dtype=torch.float64).float()) for name, total in sums.items()}

    def _site(self, site: int | str) -> SitePlan:
        try:
            return self.plan.sites[self._positions[site] if isinstance(site, str) else site]
        except (KeyError, IndexError):
            raise InvalidPlan(f"the plan has no site {site!r}") from None

    def _prepared(self, part: SitePlan | Gather, site: SitePlan) -> Prepared:
        of = site._replace(template=part.template, values=part.values)
        return self.workspace.prepared(self.plan.templates[part.template], of, self.device.type == "cpu")

    def _work(self, part: SitePlan | Gather, site: SitePlan, donors: Mapping[str, Tensor]) -> SiteWork:
        def leaf(op: str, attributes: Mapping[str, Any]) -> Tensor:
            if op == "donor":
                return _donor(attributes["name"], site, donors)
            return self._statistic(attributes, site)

        prepared = self._prepared(part, site)
        return SiteWork(prepared, self.workspace, site.name, site.shape, part.values, self.totals, leaf, self.device)

    def _statistic(self, attributes: Mapping[str, Any], site: SitePlan) -> Tensor:
        donor, name = attributes["donor"], attributes["name"]
        if self._statistics is None:
            raise InvalidPlan(f"site {site.name!r}: the statistic {name!r} of donor {donor!r} is not prepared here")
        found = self._statistics(donor, name, site.name)
        if tuple(found.shape) != attributes["shape"]:
            raise InvalidPlan(
                f"site {site.name!r}: the statistic {name!r} of donor {donor!r} has shape {show(found.shape)}, "
                f"the plan {show(attributes['shape'])}"
            )
        return found


def _donor(name: str, site: SitePlan, donors: Mapping[str, Tensor]) -> Tensor:
    if name not in donors:
        raise InvalidPlan(f"site {site.name!r}: donor {name!r} is not loaded; the loaded donors are {sorted(donors)}")
    tensor = donors[name]
    if tuple(tensor.shape) != site.shape:
        raise InvalidPlan(
            f"site {site.name!r}: donor {name!r} has shape {show(tensor.shape)}, the plan {show(site.shape)}"
        )
    return tensor.detach()
