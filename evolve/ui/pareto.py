"""The programs of a run that no other one beats in every objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolve.errors import UsageError
from evolve.search.pareto import front, hypervolume
from evolve.ui.table import render

if TYPE_CHECKING:
    from evolve.problem import ObjectiveSpec

_REFERENCE = (0.0, 0.0)


def front_text(
    programs: Sequence[Mapping[str, Any]], objectives: Mapping[str, ObjectiveSpec], sign: float, form: str
) -> str:
    """The front of the wholly evaluated ``programs``, best score first, by their metrics on the search split.

    A table of two maximised objectives ends with the area they dominate above (0, 0). ``sign`` is the factor between
    stored and shown scores. Raises UsageError without objectives, or for a metric that no program has.
    """
    if len(objectives) < 2:
        raise UsageError(
            "the problem declares fewer than two objectives; "
            'add tables such as [objectives.NAME] metric = "METRIC", direction = "maximize" to its problem.toml'
        )
    whole = [program for program in programs if program["stopped"] is None and program["metrics"]]
    for name, objective in objectives.items():
        if whole and not any(objective.metric in program["metrics"] for program in whole):
            known = ", ".join(sorted(whole[0]["metrics"]))
            raise UsageError(
                f"no program has the metric {objective.metric!r} of the objective {name!r}; there are {known}"
            )
    told = [p for p in whole if all(objective.metric in p["metrics"] for objective in objectives.values())]
    points = [[o.sign * p["metrics"][o.metric] for o in objectives.values()] for p in told]
    rows = [
        {
            "id": told[index]["id"],
            "score": sign * told[index]["score"],
            **{name: told[index]["metrics"][o.metric] for name, o in objectives.items()},
            "description": told[index]["description"],
        }
        for index in front(points)
    ]
    if form == "table" and not rows:
        return "no program has been evaluated yet"
    text = render(rows, ("id", "score", *objectives, "description"), form)
    if form == "table" and len(objectives) == 2 and all(o.sign > 0 for o in objectives.values()):
        text += f"\nhypervolume above (0, 0): {hypervolume(points, _REFERENCE):.4f}"
    return text
