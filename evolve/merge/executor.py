"""Executes a plan on the donors' tensors, one site at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from evolve.errors import InvalidPlan, RecipeError
from evolve.plan.kernels import DTYPES, KERNELS, Kernel
from evolve.plan.noise import draw
from evolve.plan.operations import OPERATIONS
from evolve.plan.plan import Node, Plan, SitePlan, Template
from evolve.plan.specs import show
from evolve.plan.validate import site_attributes


@dataclass(frozen=True, slots=True)
class _Step:
    """One computation: ``results`` are (node, output number) pairs, ``frees`` the nodes not needed afterwards."""

    node: Node
    kernel: Kernel | None
    results: tuple[tuple[int, int | None], ...]
    frees: tuple[int, ...]


class Executor:
    """Computes the merged parameters of a validated plan in float32.

    The results have the bits of the eager recipe: each operation is the same torch call on the same operands. Results
    that are needed no more are freed at once; nodes that are different outputs of one operation are computed together.
    May be shared between threads.
    """

    def __init__(self, plan: Plan, device: str | torch.device = "cpu") -> None:
        self.plan = plan
        self.device = torch.device(device)
        self._schedules = [_schedule(template) for template in plan.templates]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {site.name: index for index, site in enumerate(self.plan.sites)}

    def donors_of(self, site: int | str) -> frozenset[str]:
        """The names of the donors that one site reads."""
        template = self.plan.templates[self._site(site).template]
        return frozenset(str(dict(node.attributes)["name"]) for node in template.nodes if node.op == "donor")

    def compute_site(self, site: int | str, donors: Mapping[str, Tensor]) -> Tensor:
        """The merged parameter of a site, given by position or name: float32 of the site's shape on the device.

        ``donors`` hold this site's tensors in any float dtype; only those the site uses are read. The result may share
        memory with a donor's tensor: copy it before changing it. Raises InvalidPlan for a missing donor or a wrong
        shape, RecipeError where torch refuses a computation (a singular matrix).
        """
        plan = self._site(site)
        steps, output = self._schedules[plan.template], self.plan.templates[plan.template].output
        results: dict[int, Any] = {}
        with torch.no_grad():
            for step in steps:
                computed = self._compute(step, plan, results, donors)
                for index, part in step.results:
                    results[index] = computed if part is None else computed[part]
                del computed
                for index in step.frees:
                    del results[index]
        result: Tensor = results[output]
        return result

    def _site(self, site: int | str) -> SitePlan:
        try:
            return self.plan.sites[self._positions[site] if isinstance(site, str) else site]
        except (KeyError, IndexError):
            raise InvalidPlan(f"the plan has no site {site!r}") from None

    def _compute(self, step: _Step, site: SitePlan, results: Mapping[int, Any], donors: Mapping[str, Tensor]) -> Any:
        node = step.node
        attributes = site_attributes(node, site.shape)
        if step.kernel is None:
            return self._leaf(node.op, attributes, site, donors)
        inputs = [results[source] for source in node.inputs]
        try:
            return step.kernel(inputs, attributes, self.device)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError) as error:
            # Validation has checked shapes and dtypes, so what remains is a matter of the numbers.
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RecipeError(f"site {site.name!r}: {node.op} failed: {message}") from error

    def _leaf(self, op: str, attributes: Mapping[str, Any], site: SitePlan, donors: Mapping[str, Tensor]) -> Any:
        if op == "value":
            return site.values[attributes["slot"]]
        if op == "donor":
            return self._donor(attributes["name"], site, donors)
        if op == "constant":
            data = torch.tensor(attributes["data"], dtype=DTYPES[attributes["dtype"]], device=self.device)
            return data.reshape(attributes["shape"])
        assert op == "noise", op
        return draw(
            attributes["distribution"],
            attributes["seed"],
            site.name,
            attributes["index"],
            attributes["shape"],
            self.device,
        )

    def _donor(self, name: str, site: SitePlan, donors: Mapping[str, Tensor]) -> Tensor:
        if name not in donors:
            raise InvalidPlan(
                f"site {site.name!r}: donor {name!r} is not loaded; the loaded donors are {sorted(donors)}"
            )
        tensor = donors[name]
        if tuple(tensor.shape) != site.shape:
            raise InvalidPlan(
                f"site {site.name!r}: donor {name!r} has shape {show(tensor.shape)}, the plan {show(site.shape)}"
            )
        return tensor.detach().to(device=self.device, dtype=torch.float32).contiguous()


def _schedule(template: Template) -> list[_Step]:
    """The steps of a template that its output needs, in order, with what each may free."""
    needed = {template.output}
    for index in range(template.output, -1, -1):
        if index in needed:
            needed.update(template.nodes[index].inputs)
    groups: dict[tuple[Any, ...], list[tuple[int, int | None]]] = {}
    for index in sorted(needed):
        node = template.nodes[index]
        key, part = _computation(node, index)
        groups.setdefault(key, []).append((index, part))
    ordered = list(groups.values())
    last_use: dict[int, int] = {}
    for position, results in enumerate(ordered):
        for index, _ in results:
            last_use.setdefault(index, position)
        last_use.update(dict.fromkeys(template.nodes[results[0][0]].inputs, position))
    last_use[template.output] = len(ordered)
    frees: dict[int, list[int]] = {}
    for index, position in last_use.items():
        frees.setdefault(position, []).append(index)
    return [
        _step(template.nodes[results[0][0]], results, frees.get(position, ()))
        for position, results in enumerate(ordered)
    ]


def _computation(node: Node, index: int) -> tuple[tuple[Any, ...], int | None]:
    """What identifies the computation of a node, and which of its outputs the node is (None: it has one)."""
    if node.op not in OPERATIONS or not OPERATIONS[node.op].outputs:
        return (index,), None
    rest = tuple((name, value) for name, value in node.attributes if name != "output")
    part = dict(node.attributes)["output"]
    assert isinstance(part, int)
    return (node.op, node.inputs, rest), part


def _step(node: Node, results: Sequence[tuple[int, int | None]], frees: Sequence[int]) -> _Step:
    kernel = KERNELS[node.op] if node.op in OPERATIONS else None
    return _Step(node, kernel, tuple(results), tuple(frees))
