"""Writes a configuration as mergekit's YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from evolve.mergekit.schema import Configuration, Parameters, Rule, Source


def document(found: Configuration, comments: Sequence[str] = ()) -> str:
    """The YAML text of a configuration, its arithmetic in float32; ``dtype`` is what the results are rounded to."""
    table: dict[str, Any] = {"merge_method": found.method}
    if found.base is not None:
        table["base_model"] = found.base
    if found.slices[0].sources[0].layers is None:
        table["models"] = [_source(source) for source in found.slices[0].sources]
    else:
        table["slices"] = [
            {"sources": [_source(source) for source in piece.sources], **_parameters(piece.parameters)}
            for piece in found.slices
        ]
    table |= _parameters(found.parameters)
    table["dtype"] = "float32"
    if found.dtype not in (None, "float32"):
        table["out_dtype"] = found.dtype
    head = "".join(f"# {line}\n" for line in comments)
    text: str = yaml.safe_dump(table, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    return head + text


def _source(source: Source) -> dict[str, Any]:
    layers = {} if source.layers is None else {"layer_range": list(source.layers)}
    return {"model": source.model, **layers, **_parameters(source.parameters)}


def _parameters(parameters: Parameters) -> dict[str, Any]:
    written: Mapping[str, Any] = {name: _rules(rules) for name, rules in parameters.items()}
    return {"parameters": dict(written)} if written else {}


def _rules(rules: Sequence[Rule]) -> Any:
    if len(rules) == 1 and rules[0].filter is None:
        return _value(rules[0])
    return [({"filter": rule.filter} if rule.filter else {}) | {"value": _value(rule)} for rule in rules]


def _value(rule: Rule) -> Any:
    return list(rule.value) if isinstance(rule.value, tuple) else rule.value
