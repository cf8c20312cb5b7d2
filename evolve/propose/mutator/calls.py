"""Calls of merge methods in a recipe, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import libcst as cst

from evolve.propose.mutator.draft import Draft, assigned_name
from evolve.propose.mutator.literals import argument, function_name
from evolve.propose.mutator.weights import text_of_node

ALIKE = ("task_arithmetic", "ties", "dare_linear", "dare_ties")
"""Methods that are nearly the same at high densities, so that one can stand in for another."""
WITH_BASE = (*ALIKE, "breadcrumbs", "breadcrumbs_ties", "compeft", "pcb")
LONGEST_CALL = 100
NEXT_LINE = ",\n        "
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "linear": ("normalize",),
    "task_arithmetic": ("scale",),
    "ties": ("density", "scale", "normalize"),
    "dare_linear": ("density", "rescale", "scale"),
    "dare_ties": ("density", "rescale", "scale", "normalize"),
    "breadcrumbs": ("density", "gamma", "scale"),
    "breadcrumbs_ties": ("density", "gamma", "scale", "normalize"),
    "compeft": ("density", "alpha", "scale"),
    "pcb": ("density", "scale"),
}
"""Options of each method over a list of tensors that takes any weights and densities, in the order of its signature."""


@dataclass(frozen=True)
class MethodCall:
    """A call such as ``ties(base, [ja, math], [ja_weight, 0.5], density=0.4)`` as source texts.

    ``weights`` is None where the call gives none or gives them as something else than a list of the right length.
    """

    node: cst.Call
    method: str
    base: str | None
    tensors: tuple[str, ...]
    weights: tuple[str, ...] | None
    options: Mapping[str, str]

    @property
    def text(self) -> str:
        """The call as source text, an argument per line where it is long."""
        parts = [self.base] if self.base is not None and self.method in WITH_BASE else []
        parts.append("[" + ", ".join(self.tensors) + "]")
        if self.weights is not None:
            parts.append("[" + ", ".join(self.weights) + "]")
        parts += [f"{name}={value}" for name, value in self.options.items() if name in OPTIONS[self.method]]
        line = f"{self.method}({', '.join(parts)})"
        return line if len(line) <= LONGEST_CALL else f"{self.method}(\n        {NEXT_LINE.join(parts)},\n    )"

    def changed(self, draft: Draft, **changes: object) -> Draft:
        """The draft with this call rewritten, its method imported."""
        new = replace(self, **changes)  # type: ignore[arg-type]
        return swap_expression(draft, self.node, new.text).with_import(new.method)


def read_call(node: cst.CSTNode, lists: Mapping[str, cst.List]) -> MethodCall | None:
    """The call of a method over a list of tensors; None for anything else, or where its lists are no literal lists.

    ``lists`` are local variables that hold a literal list; rewriting a call puts the list in their place.
    """
    if not isinstance(node, cst.Call):
        return None
    method = function_name(node) or ""
    if method not in OPTIONS:
        return None
    shift = int(method in WITH_BASE)
    base = argument(node, 0, "base") if shift else None
    tensors, weights = argument(node, shift, "tensors"), argument(node, shift + 1, "weights")
    if tensors is None or (shift and base is None):
        return None
    donors = _elements(tensors.value, lists)
    factors = _elements(weights.value, lists) if weights is not None else None
    if donors is None or (weights is not None and (factors is None or len(factors) != len(donors))):
        return None
    options = {}
    for index, name in enumerate(OPTIONS[method]):
        found = argument(node, shift + 2 + index, name)
        if found is not None:
            options[name] = text_of_node(found.value)
    return MethodCall(node, method, text_of_node(base.value) if base else None, donors, factors, options)


def _elements(node: cst.BaseExpression, lists: Mapping[str, cst.List]) -> tuple[str, ...] | None:
    if isinstance(node, cst.Name) and node.value in lists:
        node = lists[node.value]
    if not isinstance(node, (cst.List, cst.Tuple)) or any(isinstance(e, cst.StarredElement) for e in node.elements):
        return None
    return tuple(text_of_node(element.value) for element in node.elements)


def method_calls(draft: Draft) -> list[MethodCall]:
    """All readable method calls of ``merge``, outer ones first."""
    assert draft.merge is not None
    assigned = [target for item in draft.merge.body.body if (target := assigned_name(item)) is not None]
    names = [name for name, _ in assigned]
    lists = {name: value for name, value in assigned if isinstance(value, cst.List) and names.count(name) == 1}
    found = (read_call(node, lists) for node in draft.expressions(lambda node: isinstance(node, cst.Call)))
    return [call for call in found if call is not None]


def swap_expression(draft: Draft, old: cst.CSTNode, text: str) -> Draft:
    """The draft with an expression exchanged for source text."""
    return draft.swap(old, cst.parse_expression(text, config=draft.tree.config_for_parsing))


def donor_expression(draft: Draft, donor: str) -> tuple[Draft, str]:
    """How ``merge`` refers to a donor, and the draft in which it may."""
    assert draft.merge is not None
    star = draft.merge.params.star_kwarg
    if star is not None and donor not in [p.name.value for p in draft.merge.params.params]:
        return draft, f'{star.name.value}["{donor}"]'
    return draft.with_parameter(donor), donor
