"""Ancestors and descendants of a program: as text, as a graph for Graphviz, as plain data."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from typing import Any

from evolve.store.descent import Descent, Step
from evolve.store.gains import TUNING
from evolve.ui.table import printable

WIDTH = 110
LABEL = 60
"""Characters of a description in a graph."""

BETWEEN = 3
"""Lines between two programs that matter in the tree of descendants; more are told in one."""

Stretch = tuple[Step, ...]
"""One step, or consecutive ones that changed numbers only."""


def tree_data(found: Descent, sign: float) -> dict[str, Any]:
    """Everything as plain data; scores and gains in the problem's own sign."""
    return {
        "program": found.program,
        "ancestors": [_data(step, sign) for step in found.line],
        "descendants": found.descendants,
        "best": list(found.best),
        "tree": [_data(step, sign) for step in found.tree],
    }


def _data(step: Step, sign: float) -> dict[str, Any]:
    numbers = {"score": step.score, "gain": step.gain}
    signed = {name: None if value is None else sign * value for name, value in numbers.items()}
    return {**asdict(step), **signed, "knobs_only": step.patch == TUNING}


def tree_lines(found: Descent, sign: float, depth: int) -> Iterator[str]:
    """The line of parents from the first one on, then the best descendants below the program.

    Consecutive steps that changed numbers only are one line; of a long line of parents the first and the last
    ``depth`` lines are shown.
    """
    stretches = list(_stretches(found.line, ()))
    shown = {step.id for stretch in (*stretches[:1], *stretches[-depth:]) for step in stretch}
    yield from _lines(stretches, sign, shown, 0, found.program)
    if not found.tree:
        yield f"  {found.descendants} descendants, none with a score" if found.descendants else "  no descendants"
        return
    yield f"  {found.descendants} descendants; the best {len(found.best)}, marked *, and who lies between:"
    children: dict[int | None, list[Step]] = defaultdict(list)
    for step in found.tree:
        children[step.parent_id].append(step)
    # A stack, not recursion: lines of descent may be longer than Python calls may be deep.
    waiting = list(_beginnings(children[found.program], "  "))
    while waiting:
        step, left, last = waiting.pop()
        chain = [step]
        while len(children[chain[-1].id]) == 1:
            chain += children[chain[-1].id]
        stretches = list(_stretches(chain, found.best))
        shown = {*found.best, stretches[-1][-1].id}
        below = left + ("   " if last else "│  ")
        for index, line in enumerate(_lines(stretches, sign, shown, BETWEEN, *found.best)):
            yield f"{left}{'└─' if last else '├─'}{line}" if index == 0 else f"{below}{line}"
        waiting += _beginnings(children[chain[-1].id], below)


def _beginnings(offspring: list[Step], left: str) -> Iterator[tuple[Step, str, bool]]:
    """Each child with what stands to its left and whether it is the last one; in reverse, for a stack."""
    for index in range(len(offspring) - 1, -1, -1):
        yield offspring[index], left, index == len(offspring) - 1


def _stretches(steps: Iterable[Step], apart: Collection[int]) -> Iterator[Stretch]:
    """Steps with consecutive ones that changed numbers only put together; those in ``apart`` end theirs."""
    group: list[Step] = []
    for step in steps:
        if group and (step.patch != TUNING or group[-1].patch != TUNING or group[-1].id in apart):
            yield tuple(group)
            group = []
        group.append(step)
    if group:
        yield tuple(group)


def _lines(stretches: list[Stretch], sign: float, shown: Collection[int], most: int, *marked: int) -> Iterator[str]:
    """A line for each stretch; more than ``most`` in a row that are not among ``shown`` become one."""
    for keep, group in itertools.groupby(stretches, key=lambda stretch: stretch[-1].id in shown):
        together = list(group)
        if keep or len(together) <= most:
            yield from (_line(stretch, sign, stretch[-1].id in marked) for stretch in together)
            continue
        steps = [step for stretch in together for step in stretch]
        yield f" … {len(steps)} steps{_change(steps, sign)}"


def _line(stretch: Stretch, sign: float, marked: bool) -> str:
    last = stretch[-1]
    score = last.state if last.score is None else f"{sign * last.score:.6g}"
    mate = f" with #{last.mate_id}" if last.mate_id is not None else ""
    edit = printable(f"{last.patch} by {last.proposer}{mate}: {last.description}")
    if len(stretch) > 1:
        edit = f"{len(stretch)} steps from #{stretch[0].id} on that changed numbers only"
    line = f"{'*' if marked else ' '}#{last.id}  {score}{_change(stretch, sign)}  {edit}"
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _change(steps: Iterable[Step], sign: float) -> str:
    """What steps did to the score together, where all of them have one."""
    gains = [step.gain for step in steps]
    known = [gain for gain in gains if gain is not None]
    return f" ({sign * sum(known):+.4g})" if known and len(known) == len(gains) else ""


def tree_dot(found: Descent, sign: float) -> Iterator[str]:
    """A directed graph in the language of Graphviz; edges that changed numbers only are dashed."""
    steps = {step.id: step for step in (*found.line, *found.tree)}
    yield "digraph lineage {"
    yield '  node [shape=box, fontname="sans-serif"];'
    yield '  edge [fontname="sans-serif", fontsize=10];'
    for step in steps.values():
        score = step.state if step.score is None else f"{sign * step.score:.6g}"
        bold = ", style=bold" if step.id == found.program or step.id in found.best else ""
        yield f"  {step.id} [label={_quoted(f'#{step.id}', score)}{bold}];"
    for step in steps.values():
        if step.parent_id not in steps:
            continue
        style = ", style=dashed" if step.patch == TUNING else ""
        edit = printable(f"{step.patch} by {step.proposer}{_change([step], sign)}")
        yield f"  {step.parent_id} -> {step.id} [label={_quoted(edit, printable(step.description)[:LABEL])}{style}];"
    yield "}"


def _quoted(*lines: str) -> str:
    """Lines of a label; JSON's quotes and escapes are Graphviz's, whose own line break is put between."""
    return '"' + "\\n".join(json.dumps(line, ensure_ascii=False)[1:-1] for line in lines) + '"'
