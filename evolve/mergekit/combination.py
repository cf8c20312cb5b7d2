"""Linear combinations: whether a site's graph is a weighted sum of donors, and with which weights."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.plan.plan import Template

_Form = dict[str, float]


def coefficients(template: Template, values: Sequence[bool | int | float]) -> dict[str, float] | None:
    """The weight of each donor; None where the graph does anything but add donors and multiply them by numbers."""
    forms: list[_Form | float | None] = []
    for node in template.nodes:
        if node.op == "donor":
            forms.append({str(node.attributes[0][1]): 1.0})
        elif node.op == "value":
            slot = node.attributes[0][1]
            assert isinstance(slot, int)
            forms.append(float(values[slot]))
        else:
            forms.append(_combined(node.op, [forms[source] for source in node.inputs]))
    result = forms[template.output]
    return result if isinstance(result, dict) else None


def _combined(op: str, operands: Sequence[_Form | float | None]) -> _Form | None:
    if op == "neg" and isinstance(operands[0], dict):
        return _scaled(operands[0], -1.0)
    if len(operands) != 2:
        return None
    left, right = operands
    if op in ("add", "sub") and isinstance(left, dict) and isinstance(right, dict):
        sign = 1.0 if op == "add" else -1.0
        return {name: left.get(name, 0.0) + sign * right.get(name, 0.0) for name in {**left, **right}}
    if op == "mul" and isinstance(left, float) and isinstance(right, dict):
        left, right = right, left
    if op == "mul" and isinstance(left, dict) and isinstance(right, float):
        return _scaled(left, right)
    if op == "div" and isinstance(left, dict) and isinstance(right, float) and right:
        return _scaled(left, 1.0 / right)
    return None


def _scaled(form: _Form, factor: float) -> _Form:
    return {name: weight * factor for name, weight in form.items()}
