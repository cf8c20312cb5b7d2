"""Donor statistics: their names, the sites at which each exists, and its shape there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evolve.errors import InvalidPlan
from evolve.site import Site

LINEAR_ROLES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Statistic(NamedTuple):
    """Where a statistic exists (``where`` says it in words) and the shape it has there."""

    exists: Callable[[Site], bool]
    shape: Callable[[Site], tuple[int, ...]]
    where: str


def _everywhere(site: Site) -> bool:
    return True


def _at_linear_weights(site: Site) -> bool:
    return site.role in LINEAR_ROLES and site.kind == "weight" and len(site.shape) == 2


STATISTICS = {
    "adamerging": Statistic(_everywhere, lambda site: (), "every site"),
    "fisher": Statistic(_everywhere, lambda site: tuple(site.shape), "every site"),
    "gram": Statistic(
        _at_linear_weights, lambda site: (site.shape[1], site.shape[1]), f"weights of {', '.join(LINEAR_ROLES)}"
    ),
}
"""``fisher`` is the mean squared gradient of each element, ``gram`` the mean outer product of a layer's inputs
(in x in), ``adamerging`` one learned coefficient."""


def available(name: str, site: Site) -> bool:
    """Whether a statistic of that name exists at the site; False for a name that no statistic has."""
    return name in STATISTICS and STATISTICS[name].exists(site)


def shape_of(name: str, site: Site) -> tuple[int, ...]:
    """The shape of a statistic at a site. Raises InvalidPlan where it is not available."""
    if name not in STATISTICS:
        raise InvalidPlan(f"statistic {name!r} does not exist; the statistics are {', '.join(STATISTICS)}")
    if not available(name, site):
        where = STATISTICS[name].where
        raise InvalidPlan(f"statistic {name!r} does not exist at site {site.name!r} ({site.role}), only at {where}")
    return STATISTICS[name].shape(site)
