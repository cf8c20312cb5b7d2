"""Checks a plan as if an enemy wrote it: nothing of it is executed before this passes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.errors import CandidateError, InvalidPlan
from evolve.plan.leaves import DONOR_ATTRIBUTES, LEAF_CHECKS, constant_data
from evolve.plan.operations import OPERATIONS, check_attributes, infer
from evolve.plan.plan import MERGED, Node, Plan, SitePlan, Template
from evolve.plan.specs import Operand, Spec, show
from evolve.plan.statistics import shape_of
from evolve.site import Site

MAX_INPUTS_PER_NODE = 4
MAX_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True)
class PlanLimits:
    """What a plan may ask for.

    ``max_nodes_per_site`` (with what the site gathers) and ``max_nodes`` (over the distinct templates) count operations
    and leaves, which together have at most four inputs per allowed node. ``max_totals`` bounds the names under which
    sites gather, ``max_constant_elements`` each literal tensor. A result has at most ``intermediate_factor`` times the
    site's elements, all results alive at once ``live_factor`` times, and in both cases at least ``intermediate_floor``.
    ``max_work_per_site`` is in elementary operations of the cost rules (an SVD of a 4096 x 14336 matrix is 8e12).
    """

    max_nodes_per_site: int = 4096
    max_nodes: int = 200_000
    max_constant_elements: int = 4096
    intermediate_factor: int = 8
    live_factor: int = 64
    intermediate_floor: int = 2**24
    max_work_per_site: float = 1e14
    max_stack_layers: int = 1024
    max_totals: int = 64

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PlanLimits:
        return cls(**data)


def validate(
    plan: Plan,
    sites: Sequence[Site],
    donors: Collection[str],
    limits: PlanLimits | None = None,
    *,
    statistics: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Raises InvalidPlan unless the plan may be executed for these sites with these donors.

    ``donors`` are the names that exist; a mapping gives each name's number of layers, otherwise every model has as
    many layers as the sites. ``statistics`` names what is prepared of each donor, by default nothing. Re-infers every
    dtype and shape.
    """
    limits = limits or PlanLimits()
    for donor in plan.donors:
        if donor not in donors or donor == MERGED:
            raise InvalidPlan(f"donor {donor!r} does not exist; the donors are {', '.join(sorted(donors))}")
    _check_sizes(plan, limits)
    _check_sites(plan, sites)
    used: set[str] = set()
    for template in plan.templates:
        used |= _check_template(template, plan.donors)
    _check_totals(plan)
    _check_statistics(plan, sites, statistics or {})
    known: dict[Any, float] = {}
    for site in plan.sites:
        _check_site(plan, site, limits, known)
    if plan.stack is not None:
        used |= _check_stack(plan, sites, donors, limits)
    if used != set(plan.donors):
        raise InvalidPlan(f"the plan lists donors {str(sorted(plan.donors))[:200]} but uses {sorted(used)}")


def _check_sizes(plan: Plan, limits: PlanLimits) -> None:
    total = 0
    for index, template in enumerate(plan.templates):
        count = len(template.nodes)
        total += count
        if count > limits.max_nodes_per_site:
            raise InvalidPlan(f"template {index} has {count} nodes, at most {limits.max_nodes_per_site} are allowed")
        edges = sum(len(node.inputs) for node in template.nodes)
        if edges > MAX_INPUTS_PER_NODE * limits.max_nodes_per_site:
            raise InvalidPlan(f"template {index}: its {count} nodes have {edges} inputs, too many")
    if total > limits.max_nodes:
        raise InvalidPlan(f"the plan has {total} nodes, at most {limits.max_nodes} are allowed")
    if len(plan.totals) > limits.max_totals:
        raise InvalidPlan(f"the plan gathers {len(plan.totals)} totals, at most {limits.max_totals} are allowed")
    used: set[int] = set()
    for site in plan.sites:
        templates = [site.template, *(gather.template for gather in site.gathers)]
        count = sum(len(plan.templates[index].nodes) for index in templates)
        if count > limits.max_nodes_per_site:
            raise InvalidPlan(
                f"site {site.name!r} with what it gathers has {count} nodes, "
                f"at most {limits.max_nodes_per_site} are allowed"
            )
        used.update(templates)
    unused = set(range(len(plan.templates))) - used
    if unused:
        raise InvalidPlan(f"template {min(unused)} belongs to no site")
    for template in plan.templates:
        for node in template.nodes:
            if node.op == "constant" and len(constant_data(node)) > limits.max_constant_elements:
                raise InvalidPlan(
                    f"a constant has {len(constant_data(node))} elements, "
                    f"at most {limits.max_constant_elements} are allowed"
                )


def _check_sites(plan: Plan, sites: Sequence[Site]) -> None:
    if len(plan.sites) != len(sites):
        raise InvalidPlan(f"the plan has {len(plan.sites)} sites, the model {len(sites)}")
    for given, site in zip(plan.sites, sites, strict=True):
        if given.name != site.name:
            raise InvalidPlan(f"the plan has site {given.name!r} where the model has {site.name!r}")
        if given.shape != tuple(site.shape):
            raise InvalidPlan(
                f"site {site.name!r}: shape {show(given.shape)} in the plan, {show(site.shape)} in the model"
            )


def _check_template(template: Template, donors: Sequence[str]) -> set[str]:
    """Checks what does not depend on the site; returns the donors of the leaves."""
    used: set[str] = set()
    for index, node in enumerate(template.nodes):
        if any(not 0 <= source < index for source in node.inputs):
            raise InvalidPlan(f"node {index} ({node.op}): inputs {list(node.inputs)} must be earlier nodes")
        attributes: dict[str, Any] = dict(node.attributes)
        if node.op in OPERATIONS:
            try:
                check_attributes(OPERATIONS[node.op], attributes)
            except CandidateError as error:
                raise InvalidPlan(f"node {index}: {str(error)[:MAX_MESSAGE_CHARACTERS]}") from None
        elif node.op in LEAF_CHECKS:
            if node.inputs:
                raise InvalidPlan(f"node {index} ({node.op}): a leaf has no inputs")
            LEAF_CHECKS[node.op](attributes, f"node {index}")
            if node.op in DONOR_ATTRIBUTES:
                donor = attributes[DONOR_ATTRIBUTES[node.op]]
                if donor not in donors:
                    raise InvalidPlan(f"node {index}: donor {donor!r} is not among the plan's donors")
                used.add(donor)
        else:
            raise InvalidPlan(f"node {index}: unknown operation {node.op!r}")
    if not 0 <= template.output < len(template.nodes):
        raise InvalidPlan(f"output {template.output} is none of {len(template.nodes)} nodes")
    return used


def _check_totals(plan: Plan) -> None:
    """Checks that what is gathered and what is used are the same, and that no total needs another."""
    merging = {site.template for site in plan.sites}
    used = {leaf["name"] for index in merging for leaf in plan.templates[index].leaves("total")}
    for name in sorted(used ^ set(plan.totals)):
        problem = "is used, but no site gathers it" if name in used else "is gathered, but no output uses it"
        raise InvalidPlan(f"total {name!r} {problem}")
    for gathering in {gather.template for site in plan.sites for gather in site.gathers}:
        if plan.templates[gathering].leaves("total"):
            raise InvalidPlan(f"template {gathering} adds to a total and uses one; totals cannot need each other")


def _check_statistics(plan: Plan, sites: Sequence[Site], prepared: Mapping[str, Collection[str]]) -> None:
    asked = [template.leaves("statistic") for template in plan.templates]
    for planned, site in zip(plan.sites, sites, strict=True):
        for index in (planned.template, *(gather.template for gather in planned.gathers)):
            for leaf in asked[index]:
                where = f"site {site.name!r}: statistic {leaf['name']!r} of donor {leaf['donor']!r}"
                shape = shape_of(leaf["name"], site)
                if leaf["name"] not in prepared.get(leaf["donor"], ()):
                    raise InvalidPlan(f"{where} is not prepared; run `evolve donors PROBLEM --prepare`")
                given = planned.shape if leaf["shape"] is None else leaf["shape"]
                if given != shape:
                    raise InvalidPlan(f"{where} has shape {show(shape)}, not {show(given)}")


def _check_site(plan: Plan, site: SitePlan, limits: PlanLimits, known: dict[Any, float]) -> None:
    """Checks the graph of one site and the graphs of what it gathers; ``known`` keeps the work of checked graphs."""
    where = f"site {site.name!r}"
    graphs = [(where, site, Spec("float32", site.shape))]
    for name, template, values in site.gathers:
        part = site._replace(template=template, values=values)
        graphs.append((f"{where}, gather {name!r}", part, Spec("float32", ())))
    work = 0.0
    for label, graph, wanted in graphs:
        # Types belong to the key: 1, 1.0 and True are equal but not the same operand.
        key = (graph.template, graph.shape, tuple((type(value), value) for value in graph.values), wanted.shape)
        if key not in known:
            known[key] = _check_graph(plan.templates[graph.template], graph, wanted, limits, label)
        work += known[key]
    if work > limits.max_work_per_site:
        raise InvalidPlan(
            f"{where}: {work:.2g} elementary operations, at most {limits.max_work_per_site:.2g} are allowed"
        )


def _check_graph(template: Template, site: SitePlan, wanted: Spec, limits: PlanLimits, where: str) -> float:
    """Infers every node of one site's graph; returns its work in elementary operations."""
    slots = {_slot(node) for node in template.nodes if node.op == "value"}
    if slots != set(range(len(site.values))):
        raise InvalidPlan(f"{where}: {len(site.values)} values for the {len(slots)} slots of its template")
    elements = math.prod(site.shape)
    most_elements = max(limits.intermediate_floor, limits.intermediate_factor * elements)
    operands: list[Operand] = []
    work = 0.0
    for index, node in enumerate(template.nodes):
        operand = _infer_node(node, site, operands, f"{where}, node {index}")
        if isinstance(operand, Spec):
            if operand.size > most_elements:
                raise InvalidPlan(
                    f"{where}, node {index}: {node.op} makes shape {show(operand.shape)} of {operand.size} elements; "
                    f"at most {most_elements} are allowed here"
                )
            if node.op in OPERATIONS:
                inputs = [operands[source] for source in node.inputs]
                work += OPERATIONS[node.op].cost(inputs, site_attributes(node, site.shape), operand)
        operands.append(operand)
    result = operands[template.output]
    if result != wanted:
        found = f"a {result.dtype} tensor of shape {show(result.shape)}" if isinstance(result, Spec) else "a number"
        raise InvalidPlan(f"{where}: the output is {found}, not float32 of shape {show(wanted.shape)}")
    live = _most_live(template, operands)
    most_live = max(limits.intermediate_floor, elements) * limits.live_factor
    if live > most_live:
        raise InvalidPlan(f"{where}: {live} elements alive at once, at most {most_live} are allowed here")
    return work


def _slot(node: Node) -> int:
    slot: Any = dict(node.attributes)["slot"]
    return int(slot)


def site_attributes(node: Node, shape: tuple[int, ...]) -> dict[str, Any]:
    """A node's attributes for a site: a shape of None becomes the site's own."""
    attributes = dict(node.attributes)
    if "shape" in attributes and attributes["shape"] is None:
        attributes["shape"] = shape
    return attributes


def _infer_node(node: Node, site: SitePlan, operands: Sequence[Operand], where: str) -> Operand:
    if node.op == "donor":
        return Spec("float32", site.shape)
    if node.op == "value":
        value = site.values[_slot(node)]
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidPlan(f"{where}: the value {value} is not finite")
        return value
    attributes = site_attributes(node, site.shape)
    if node.op == "constant":
        return Spec(attributes["dtype"], attributes["shape"])
    if node.op in ("noise", "statistic"):
        return Spec("float32", attributes["shape"])
    if node.op == "total":
        return Spec("float32", ())
    try:
        return infer(OPERATIONS[node.op], [operands[source] for source in node.inputs], attributes)
    except CandidateError as error:
        raise InvalidPlan(f"{where}: {str(error)[:MAX_MESSAGE_CHARACTERS]}") from None


def _most_live(template: Template, operands: Sequence[Operand]) -> int:
    """The most elements alive at once when each result is freed after its last use."""
    last_use = {source: index for index, node in enumerate(template.nodes) for source in node.inputs}
    last_use[template.output] = len(template.nodes)
    sizes = [operand.size if isinstance(operand, Spec) else 0 for operand in operands]
    live = most = 0
    for index, node in enumerate(template.nodes):
        live += sizes[index]
        most = max(most, live)
        for source in {*node.inputs, index}:
            if last_use.get(source, index) <= index:
                live -= sizes[source]
    return most


def _check_stack(plan: Plan, sites: Sequence[Site], donors: Collection[str], limits: PlanLimits) -> set[str]:
    assert plan.stack is not None
    own_layers = 1 + max((site.layer for site in sites if site.layer is not None), default=-1)
    if not 1 <= len(plan.stack) <= limits.max_stack_layers:
        raise InvalidPlan(f"the stack has {len(plan.stack)} layers, 1 to {limits.max_stack_layers} are allowed")
    used = set()
    for index, entry in enumerate(plan.stack):
        if entry.model != MERGED:
            if entry.model not in plan.donors:
                raise InvalidPlan(f"stack[{index}]: {entry.model!r} is not among the plan's donors")
            used.add(entry.model)
        layers = donors.get(entry.model, own_layers) if isinstance(donors, Mapping) else own_layers
        if not 0 <= entry.layer < layers:
            raise InvalidPlan(
                f"stack[{index}]: layer {entry.layer} of {entry.model!r}, which has layers 0..{layers - 1}"
            )
        if not math.isfinite(entry.scale) or entry.scale == 0:
            raise InvalidPlan(f"stack[{index}]: scale {entry.scale} must be finite and not zero")
    return used
