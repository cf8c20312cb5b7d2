"""Which layers a plan's model is made of, and in which runs mergekit would write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from evolve.donors.sites import EMBEDDING, split_name
from evolve.errors import UsageError
from evolve.plan.plan import MERGED, Node, Plan, SitePlan, StackEntry, Template
from evolve.site import Site


@dataclass(frozen=True)
class Piece:
    """A run of layers; ``sites`` are those whose numbers it decides, ``donor`` the one it takes them from, if one."""

    layers: range
    sites: tuple[SitePlan, ...]
    donor: str | None

    @property
    def positions(self) -> dict[int, int]:
        return {layer: position for position, layer in enumerate(self.layers)}


@dataclass(frozen=True)
class Arrangement:
    """The layers of the merged model in order, and the sites that take part in it.

    ``whole`` says that it has the donors' own layers in their order.
    """

    plan: Plan
    layers: int
    stack: tuple[StackEntry, ...]

    @classmethod
    def of(cls, plan: Plan, layers: int) -> Arrangement:
        """Reads a plan's stack. Raises UsageError for layers with scaled inputs."""
        stack = plan.stack or tuple(StackEntry(MERGED, layer, 1.0) for layer in range(layers))
        for index, entry in enumerate(stack):
            if entry.scale != 1:
                raise UsageError(
                    f"layer {index} of the stack scales its input by {entry.scale:g}, mergekit has no such thing"
                )
        return cls(plan, layers, stack)

    @property
    def whole(self) -> bool:
        return self.plan.stack is None

    @property
    def all_merged(self) -> bool:
        return all(entry.model == MERGED for entry in self.stack)

    @cached_property
    def sites(self) -> tuple[SitePlan, ...]:
        """The sites that are merged: those outside the layers, and those of merged layers."""
        used = {entry.layer for entry in self.stack if entry.model == MERGED}
        return tuple(site for site in self.plan.sites if (layer := split_name(site.name)[0]) is None or layer in used)

    @property
    def all_sites(self) -> list[Site]:
        """All sites of the plan as a recipe of this package sees them; it asks for no roles."""
        return [_site(site, self.layers) for site in self.plan.sites]

    def pieces(self, owners: Mapping[str, str]) -> list[Piece]:
        """Runs of consecutive layers, each from one of the ``owners`` (donors by site) where these are given."""
        runs: list[list[tuple[int, str | None]]] = []
        for entry in self.stack:
            donor = self._owner(entry, owners)
            if runs and runs[-1][-1] == (entry.layer - 1, donor):
                runs[-1].append((entry.layer, donor))
            else:
                runs.append([(entry.layer, donor)])
        pieces = []
        for index, run in enumerate(runs):
            layers = range(run[0][0], run[-1][0] + 1)
            ends = (index == 0, index == len(runs) - 1)
            sites = tuple(site for site in self.sites if self._decides(site, layers, ends, run[0][1]))
            pieces.append(Piece(layers, sites, run[0][1]))
        return pieces

    @property
    def content(self) -> dict[str, str]:
        """What makes each parameter of the merged model, by its place: equal content is the same model."""
        found = {}
        for site in self.plan.sites:
            layer = split_name(site.name)[0]
            if layer is None:
                found[site.name] = self._digest(site)
            for position, entry in enumerate(self.stack):
                if entry.layer == layer:
                    donor = None if entry.model == MERGED else entry.model
                    found[f"{position} {site.name}"] = self._digest(site, donor)
        return found

    def _digest(self, site: SitePlan, donor: str | None = None) -> str:
        template = self.plan.templates[site.template]
        if donor is not None:
            template = Template((Node("donor", (), (("name", donor),)),), 0)
        values = () if donor is not None else site.values
        return Plan((), (template,), (SitePlan("", site.shape, 0, values),)).digest

    def _owner(self, entry: StackEntry, owners: Mapping[str, str]) -> str | None:
        if entry.model != MERGED:
            return entry.model
        inside = (
            owners[site.name] for site in self.sites if site.name in owners and split_name(site.name)[0] == entry.layer
        )
        return next(inside, None)

    def _decides(self, site: SitePlan, layers: range, ends: tuple[bool, bool], donor: str | None) -> bool:
        """Embeddings belong to the first run, final norm and head to the last."""
        layer = split_name(site.name)[0]
        if layer is None:
            return ends[0] if site.name == EMBEDDING else ends[1]
        merged = any(entry.layer == layer and entry.model == MERGED for entry in self.stack)
        return layer in layers and merged and (donor is None or donor not in self._raw(layer))

    def _raw(self, layer: int) -> set[str]:
        """The donors from which the stack takes a layer as it is."""
        return {entry.model for entry in self.stack if entry.layer == layer and entry.model != MERGED}


def _site(site: SitePlan, layers: int) -> Site:
    layer = split_name(site.name)[0]
    depth = 0.0 if layer is None else layer / max(layers - 1, 1)
    return Site(site.name, layer, depth, "", "embedding" if site.name == EMBEDDING else "", site.shape)
