"""The search strategy of a run, by the name in its settings."""

from __future__ import annotations

from evolve.loop.parts import Parts
from evolve.loop.sampling import Evolution
from evolve.strategies.base import DEFAULT, Setting, Strategy

BASE = "base"


def setting_of(parts: Parts) -> Setting:
    """What strategies are told of the problem."""
    donors = parts.donor_layers
    infos = parts.donor_infos.items()
    return Setting(
        kind="merge" if parts.problem.kind == "merge" else "program",
        donors=donors,
        base=BASE if BASE in donors else None,
        layers=1 + max((site.layer for site in parts.sites if site.layer is not None), default=-1),
        roles=tuple(dict.fromkeys(site.role for site in parts.sites)),
        blocks=tuple(dict.fromkeys(site.block for site in parts.sites)),
        statistics={name: tuple(info["statistics"]) for name, info in infos if info["statistics"]},
        task=parts.problem.task,
        seeds=parts.problem.seeds,
        seed=parts.config.seed,
        ensemble=parts.ensemble,
        archive=parts.archive,
        evaluations=parts.config.budget.evaluations,
        options=parts.config.search.options,
    )


def strategy_of(parts: Parts) -> Strategy:
    """The strategy that the settings name. Raises UsageError for an unknown one, or one that the problem rules out."""
    setting = setting_of(parts)
    name = parts.config.search.strategy
    if name == DEFAULT:
        return Evolution(parts, setting)
    from evolve.strategies.registry import make

    return make(name, setting)
