"""Gradients of a loss with respect to a plan's numbers: through the live model to each site, then through its graph.

A slot is one number of one site. Where it is added, subtracted, multiplied, divided, a power, a weight of ``lerp`` or
the fill of ``full``, its gradient is exact, by autograd over the kernels of plans. Where a kernel takes only a plain
number (the q of a quantile, the bounds of a clamp) it is the gradient of the site's parameter times the central
difference of the parameter. Integers and booleans have gradient zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from evolve.errors import InvalidPlan, RecipeError, UsageError
from evolve.plan.kernels import DTYPES, KERNELS
from evolve.plan.noise import draw
from evolve.plan.plan import Node, Plan, SitePlan
from evolve.plan.validate import site_attributes

# (donor, statistic, site) -> tensor, as executors take it.
Statistics = Callable[[str, str, str], Tensor]

# Half the distance of a central difference, relative to a slot's or knob's size (at least 1).
SLOT_STEP = 1e-3
KNOB_STEP = 1e-4
# Knobs of equal value share a slot of the plan. Moved apart by this much, each has its own.
KNOB_NUDGE = 1e-6

# Kernels that take a tensor where a recipe wrote a number, with the same result.
_TENSOR_OPERANDS = ("add", "sub", "mul", "div", "pow")
# The same for those that insist on a plain number, in terms of differentiable operations.
_REWRITTEN: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Tensor]] = {
    "add_scaled": lambda x, attributes: x[0] + x[1] * x[2],
    "lerp": lambda x, attributes: x[0] + (x[1] - x[0]) * x[2],
    "full": lambda x, attributes: x[0].to(DTYPES[attributes["dtype"]]).expand(attributes["shape"]),
}


@dataclass(frozen=True)
class Objective:
    """A loss of merged models: ``loss(model)`` is 0-dim, ``tensors_of(site)`` the donors' tensors of a site.

    ``model`` is a transformers model whose parameters are named as the sites; they are read as the merge's in the loss
    and never changed. ``statistics`` is what plans with such leaves need.
    """

    tensors_of: Callable[[str], Mapping[str, Tensor]]
    model: nn.Module
    loss: Callable[[Any], Tensor]
    statistics: Statistics | None = None


@dataclass(frozen=True)
class Gradient:
    """``loss`` and its derivatives, by site name: the slots' in their order, then those of each of its gathers."""

    loss: float
    slots: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class KnobGradient:
    """``loss`` and its derivative by each knob."""

    loss: float
    knobs: Mapping[str, float]


def slot_gradient(plan: Plan, objective: Objective) -> Gradient:
    """The loss of a plan's merge and its gradient with respect to every number of the plan.

    In memory: a gradient of the model's size and one site's graph at a time. Raises UsageError for a plan with a stack,
    RecipeError where torch refuses a computation.
    """
    if plan.stack is not None:
        raise UsageError("the gradient does not follow a stack of layers; use a recipe without stack()")
    with torch.no_grad():
        totals = _totals(plan, objective)
        merged = {site.name: _Graph(plan, site, objective, totals).run(site.values) for site in plan.sites}
    loss, outer = _parameter_gradients(merged, objective)
    del merged
    slots: dict[str, tuple[float, ...]] = {}
    by_total = dict.fromkeys(plan.totals, 0.0)
    for site in plan.sites:
        slots[site.name], own = _Graph(plan, site, objective, totals).gradients(outer[site.name])
        for name, gradient in own.items():
            by_total[name] += gradient
    for site in plan.sites:
        for name, part in _gathered(site):
            graph = _Graph(plan, part, objective, {})
            slots[site.name] += graph.gradients(torch.tensor(by_total[name], device=graph.device))[0]
    return Gradient(loss, slots)


def _gathered(site: SitePlan) -> list[tuple[str, SitePlan]]:
    """What a site gathers, by name, as if it were a site's own graph."""
    return [(gather.name, site._replace(template=gather.template, values=gather.values)) for gather in site.gathers]


def _totals(plan: Plan, objective: Objective) -> dict[str, Tensor]:
    """The totals of the first pass, 0-dim float32, added in float64."""
    sums = dict.fromkeys(plan.totals, 0.0)
    for site in plan.sites:
        for name, part in _gathered(site):
            sums[name] += float(_Graph(plan, part, objective, {}).run(part.values))
    return {name: torch.tensor(value) for name, value in sums.items()}


def _numbers(site: SitePlan) -> list[float]:
    """The numbers of a site in the order of its gradients."""
    return [float(value) for values in (site.values, *(gather.values for gather in site.gathers)) for value in values]


def knob_gradient(
    plan_of: Callable[[Mapping[str, float]], Plan],
    knobs: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    objective: Objective,
) -> KnobGradient:
    """The loss of a recipe's merge and its gradient with respect to the recipe's knobs.

    ``plan_of(knobs)`` traces the recipe with these numbers (a wide knob is one entry for each of its numbers). How a
    knob moves the slots is a central difference, exact for slots that are linear in it; steps stay inside ``bounds``
    (low, high). Raises RecipeError for a knob at which the recipe's operations change: there is no derivative there.
    """
    centre = {name: _nudged(value, number, bounds[name]) for number, (name, value) in enumerate(knobs.items(), 1)}
    plan = plan_of(centre)
    gradient = slot_gradient(plan, objective)
    found: dict[str, float] = {}
    for name, value in centre.items():
        step = KNOB_STEP * max(1.0, abs(value))
        low, high = max(bounds[name][0], value - step), min(bounds[name][1], value + step)
        below, above = plan_of({**centre, name: low}), plan_of({**centre, name: high})
        if not _structure(below) == _structure(plan) == _structure(above):
            raise RecipeError(f"knob {name!r} changes the recipe's operations near {value:g}; it has no gradient there")
        found[name] = sum(
            slope * (after - before)
            for first, second in zip(below.sites, above.sites, strict=True)
            for slope, before, after in zip(gradient.slots[first.name], _numbers(first), _numbers(second), strict=True)
        ) / (high - low)
    return KnobGradient(gradient.loss, found)


def _nudged(value: float, number: int, bounds: tuple[float, float]) -> float:
    nudge = number * KNOB_NUDGE * max(1.0, abs(value))
    return value + nudge if value + nudge <= bounds[1] else value - nudge


def _structure(plan: Plan) -> tuple[Any, ...]:
    """All of a plan but its numbers."""
    graphs = [(site.template, [(gather.name, gather.template) for gather in site.gathers]) for site in plan.sites]
    return plan.templates, graphs


class _Loss(nn.Module):
    """A loss of a model as a module, which functional_call can give other parameters."""

    def __init__(self, model: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self) -> Tensor:
        return self._loss(self.model)


def _parameter_gradients(merged: Mapping[str, Tensor], objective: Objective) -> tuple[float, dict[str, Tensor]]:
    """The loss of the model with these parameters and its float32 gradient with respect to each of them."""
    dtype = next(objective.model.parameters()).dtype
    leaves = [tensor.requires_grad_(True) for tensor in merged.values()]
    with torch.enable_grad():
        parameters = {f"model.{name}": tensor.to(dtype) for name, tensor in merged.items()}
        loss = functional_call(_Loss(objective.model, objective.loss), parameters, ())
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    return float(loss.detach()), dict(zip(merged, gradients, strict=True))


class _Graph:
    """One site's graph on its donors' tensors and the totals, as a function of the numbers in its slots."""

    def __init__(self, plan: Plan, site: SitePlan, objective: Objective, totals: Mapping[str, Tensor]) -> None:
        self.site = site
        self.device = next(objective.model.parameters()).device
        self._template = plan.templates[site.template]
        self._donors = objective.tensors_of(site.name)
        self._statistics = objective.statistics
        self._totals = {name: total.to(self.device) for name, total in totals.items()}

    def run(self, values: Sequence[Any]) -> Tensor:
        """The site's parameter, float32, in memory of its own; numbers may be 0-dim float64 tensors with gradients."""
        results: list[Any] = []
        shared: dict[Any, Any] = {}
        for node in self._template.nodes:
            try:
                results.append(self._compute(node, [results[source] for source in node.inputs], values, shared))
            except (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError) as error:
                raise RecipeError(
                    f"site {self.site.name!r}: {node.op} failed: {str(error).split(chr(10))[0]}"
                ) from error
        result: Tensor = results[self._template.output]
        return result.clone()

    def gradients(self, outer: Tensor) -> tuple[tuple[float, ...], dict[str, float]]:
        """The gradients of the slots and of the totals, given that of the graph's result."""
        rough = self._rough_slots()
        values: list[Any] = list(self.site.values)
        smooth = [slot for slot, value in enumerate(values) if type(value) is float and slot not in rough]
        for slot in smooth:
            values[slot] = torch.tensor(values[slot], dtype=torch.float64, device=self.device, requires_grad=True)
        for total in self._totals.values():
            total.requires_grad_(True)
        followed = [*(values[slot] for slot in smooth), *self._totals.values()]
        with torch.enable_grad():
            result = self.run(values)
            found = [0.0] * len(followed)
            if result.requires_grad:
                found = list(map(float, torch.autograd.grad(result, followed, outer, materialize_grads=True)))
        slots = [0.0] * len(values)
        for slot, gradient in zip(smooth, found, strict=False):
            slots[slot] = gradient
        for slot in sorted(rough):
            if type(self.site.values[slot]) is float:
                slots[slot] = self._difference(slot, outer)
        return tuple(slots), dict(zip(self._totals, found[len(smooth) :], strict=True))

    def _rough_slots(self) -> set[int]:
        """The slots that some kernel takes only as a plain number."""
        nodes = self._template.nodes
        return {
            _slot(nodes[source])
            for node in nodes
            if node.op not in _TENSOR_OPERANDS and node.op not in _REWRITTEN
            for source in node.inputs
            if nodes[source].op == "value"
        }

    @torch.no_grad()
    def _difference(self, slot: int, outer: Tensor) -> float:
        """The directional derivative along one slot; one-sided where a number is refused beyond this one."""
        centre = float(self.site.values[slot])
        step = SLOT_STEP * max(1.0, abs(centre))
        points, offsets = [], []
        for offset in (step, -step):
            values = list(self.site.values)
            values[slot] = centre + offset
            try:
                points.append(self.run(values))
                offsets.append(offset)
            except RecipeError:
                points.append(self.run(self.site.values))
                offsets.append(0.0)
        width = offsets[0] - offsets[1]
        return float((points[0].double() - points[1].double()).mul_(outer).sum() / width) if width else 0.0

    def _compute(self, node: Node, inputs: Sequence[Any], values: Sequence[Any], shared: dict[Any, Any]) -> Any:
        attributes = site_attributes(node, self.site.shape)
        if node.op not in KERNELS:
            return self._leaf(node.op, attributes, values)
        learned = any(isinstance(operand, Tensor) and operand.dtype == torch.float64 for operand in inputs)
        if learned and node.op in _REWRITTEN:
            return _REWRITTEN[node.op](inputs, attributes)
        if "output" not in attributes:
            result = KERNELS[node.op](inputs, attributes, self.device)
            # A result of learned numbers alone; a recipe computes with Python's there, which are float32 in tensors.
            return result.float() if isinstance(result, Tensor) and result.dtype == torch.float64 else result
        part = attributes.pop("output")
        key = (node.op, node.inputs, tuple(sorted(attributes.items())))
        if key not in shared:
            shared[key] = KERNELS[node.op](inputs, {**attributes, "output": part}, self.device)
        return shared[key][part]

    def _leaf(self, op: str, attributes: Mapping[str, Any], values: Sequence[Any]) -> Any:
        if op == "value":
            return values[attributes["slot"]]
        if op == "donor":
            name = attributes["name"]
            if name not in self._donors:
                raise InvalidPlan(f"site {self.site.name!r}: donor {name!r} is not among {sorted(self._donors)}")
            return self._donors[name].detach().to(self.device, torch.float32)
        if op == "constant":
            data = torch.tensor(attributes["data"], dtype=DTYPES[attributes["dtype"]], device=self.device)
            return data.reshape(attributes["shape"])
        if op == "noise":
            return draw(
                attributes["distribution"], attributes["seed"], self.site.name, attributes["index"],
                attributes["shape"], self.device,
            )  # fmt: skip
        if op == "statistic":
            if self._statistics is None:
                raise InvalidPlan(f"site {self.site.name!r}: the plan reads statistics, but none were given")
            found = self._statistics(attributes["donor"], attributes["name"], self.site.name)
            return found.to(self.device, torch.float32)
        assert op == "total", op
        return self._totals[attributes["name"]]


def _slot(node: Node) -> int:
    slot: Any = dict(node.attributes)["slot"]
    return int(slot)
