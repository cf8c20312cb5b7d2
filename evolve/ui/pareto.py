"""The programs of a run that no other one beats in every objective."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolve.errors import UsageError
from evolve.search.pareto import front, hypervolume
from evolve.store import queries
from evolve.ui.table import render

if TYPE_CHECKING:
    from evolve.problem import ObjectiveSpec

_REFERENCE = (0.0, 0.0)


def front_text(connection: sqlite3.Connection, objectives: Mapping[str, ObjectiveSpec], form: str) -> str:
    """The front of the wholly evaluated programs, best score first, by their metrics on the search split.

    A table of two maximised objectives ends with the area they dominate above (0, 0). Raises UsageError without
    objectives, or for a metric that no program has.
    """
    if len(objectives) < 2:
        raise UsageError(
            "the problem declares fewer than two objectives; "
            'add tables such as [objectives.NAME] metric = "METRIC", direction = "maximize" to its problem.toml'
        )
    signs = [objective.sign for objective in objectives.values()]
    told = queries.metric_values(connection, [objective.metric for objective in objectives.values()])
    if told:
        _require_metrics(connection, objectives, told)
    whole = [(number, values) for number, _, *values in told if None not in values]
    points = [[sign * value for sign, value in zip(signs, values, strict=True)] for _, values in whole]
    chosen = dict(whole[index] for index in front(points))
    score_sign = queries.sign(connection)
    rows = [
        {"id": row["id"], "score": score_sign * row["score"], **dict(zip(objectives, chosen[row["id"]], strict=True)),
         "description": row["description"]}
        for row in queries.listed(connection, list(chosen))
    ]  # fmt: skip
    if form == "table" and not rows:
        return "no program has been evaluated yet"
    text = render(rows, ("id", "score", *objectives, "description"), form)
    if form == "table" and len(objectives) == 2 and all(sign > 0 for sign in signs):
        text += f"\nhypervolume above (0, 0): {hypervolume(points, _REFERENCE):.4f}"
    return text


def _require_metrics(
    connection: sqlite3.Connection, objectives: Mapping[str, ObjectiveSpec], told: Sequence[tuple[Any, ...]]
) -> None:
    for place, (name, objective) in enumerate(objectives.items(), start=2):
        if all(row[place] is None for row in told):
            known = ", ".join(sorted(queries.listed(connection, [told[0][0]])[0]["metrics"])) or "none at all"
            raise UsageError(
                f"no program has the metric {objective.metric!r} of the objective {name!r}; there are {known}"
            )
