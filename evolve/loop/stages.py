"""The stages of a problem that need no worker: limits of a program's text and statistics of its plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evolve.plan.leaves import LEAF_CHECKS
from evolve.plan.plan import Plan, Template
from evolve.stages import Stage


def pass_text(stages: Iterable[Stage], source: str) -> None:
    """Raises StageRejected when the text fails a stage."""
    lines = [line.strip() for line in source.splitlines()]
    values = {
        "characters": len(source),
        "lines": sum(bool(line) and not line.startswith("#") for line in lines),
    }
    _check(stages, values)


def pass_plan(stages: Iterable[Stage], plan: Mapping[str, Any]) -> None:
    """Raises StageRejected when the plan fails a stage."""
    wanted = [stage for stage in stages if stage.needs_plan]
    if wanted:
        _check(wanted, plan_values(Plan.from_dict(plan)))


def plan_values(plan: Plan) -> dict[str, float]:
    """What stages may measure of a plan.

    ``donors`` it uses; ``operations_per_site``, the most that any parameter takes; ``operations``, those of all
    parameters; ``copied``, the share of parameters that are one donor's unchanged; ``templates``, different graphs.
    """
    operations = [_operations(template) for template in plan.templates]
    copies = [_copies(template) for template in plan.templates]
    sites = [site.template for site in plan.sites]
    return {
        "donors": len(plan.donors),
        "operations_per_site": max((operations[index] for index in sites), default=0),
        "operations": sum(operations[index] for index in sites),
        "copied": sum(copies[index] for index in sites) / max(len(sites), 1),
        "templates": len(set(sites)),
    }


def _operations(template: Template) -> int:
    return sum(node.op not in LEAF_CHECKS for node in template.nodes)


def _copies(template: Template) -> bool:
    return template.nodes[template.output].op == "donor"


def _check(stages: Iterable[Stage], values: Mapping[str, float]) -> None:
    for stage in stages:
        if stage.measure in values:
            stage.check(values[stage.measure])
