"""Where a merged model's weights come from, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evolve.ui.table import render

_MEASURES = ("share", "cosine", "coefficient")
_FOOTNOTE = (
    "NAME %: part of what the donors explain of the difference from the base; rest %: what no weighting of them "
    "explains;\ncos: cosine of the difference and the donor's own; blank where there is no difference"
)


def provenance_text(provenance: Mapping[str, Any], form: str = "table") -> str:
    """The measures of ``evolve.merge.provenance``, a row for every layer and role.

    The table has a line for the whole model above; CSV and JSON hold full precision, JSON the whole model too.
    """
    if form == "json":
        return json.dumps(provenance, ensure_ascii=False, indent=2)
    donors, places = list(provenance["model"]["donors"]), provenance["places"]
    if form == "csv":
        columns = ["layer", "role", "norm", "residual", *(f"{m}_{name}" for name in donors for m in _MEASURES)]
        return render([_record(place) for place in places], columns, form)
    columns = ["layer", "role", *(f"{name} %" for name in [*donors, "rest"]), *(f"cos {name}" for name in donors)]
    return f"{_whole(provenance)}\n\n{render([_row(place) for place in places], columns)}\n\n{_FOOTNOTE}"


def _record(place: Mapping[str, Any]) -> dict[str, Any]:
    measured = place["donors"].items()
    return {**place, **{f"{m}_{name}": measures[m] for name, measures in measured for m in _MEASURES}}


def _row(place: Mapping[str, Any]) -> dict[str, Any]:
    row = {"layer": place["layer"], "role": place["role"], "rest %": _percent(place["residual"])}
    for name, measures in place["donors"].items():
        row[f"{name} %"] = _percent(measures["share"])
        row[f"cos {name}"] = None if measures["cosine"] is None else f"{measures['cosine']:5.2f}"
    return row


def _whole(provenance: Mapping[str, Any]) -> str:
    whole, base = provenance["model"], provenance["base"]
    if whole["residual"] is None:
        return f"whole model: no difference from {base}"
    shares = [f"{name} {_percent(m['share'])} %" for name, m in whole["donors"].items() if m["share"] is not None]
    explained = ", ".join([*shares, f"rest {_percent(whole['residual'])} %"])
    return f"whole model, difference from {base}: {explained}"


def _percent(value: float | None) -> int | None:
    return None if value is None else round(100 * value)
