"""The MAP-Elites grid for the terminal: a row for one feature, a matrix for two, else a table of occupied cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evolve.features import CellIndex, FeatureAxis
from evolve.store.grid import Grid
from evolve.ui.table import printable, render

WIDTH = 80
TABLE_ROWS = 40
COLUMNS = ("cell", "program", "score", "island", "born_on", "generation", "patch", "proposer", "description")
STYLES = ("blue", "cyan", "green", "yellow", "bold red")
"""From the worst elite to the best one."""

Line = list[tuple[str, str]]
"""Pieces of a line, each with its style for a terminal."""


def plain(line: Line) -> str:
    """The line without its styles."""
    return "".join(text for text, _ in line).rstrip()


def cell_rows(grid: Grid, sign: float) -> list[dict[str, Any]]:
    """A row per occupied cell, in the order of cells; the score in the problem's own sign."""
    return [
        {"cell": ",".join(map(str, cell)) or "all", **row, "score": sign * row["score"]}
        for cell, row in grid.elites.items()
    ]


def figures(grid: Grid, sign: float, worst: float | None) -> dict[str, Any]:
    """What the grid comes to. ``worst`` is the worst possible score; the QD score is None without one."""
    best = grid.best
    return {
        "islands": list(grid.islands),
        "axes": [{"name": axis.name, "low": axis.low, "high": axis.high, "bins": axis.bins} for axis in grid.axes],
        "cells": grid.size,
        "filled": len(grid.elites),
        "coverage": grid.coverage,
        "qd_score": None if worst is None else grid.qd_score(sign * worst),
        "worst": worst,
        "best": None if best is None else sign * best["score"],
        "best_program": None if best is None else best["program"],
    }


def grid_lines(grid: Grid, sign: float, worst: float | None) -> Iterator[Line]:
    """The figures, then the grid, at most 80 columns wide where it is a row or a matrix."""
    found = figures(grid, sign, worst)
    several = len(grid.islands) > 1
    whose = (
        f"islands {', '.join(map(str, grid.islands))} together, the best that they hold now in each cell"
        if several
        else f"island {', '.join(map(str, grid.islands)) or 'none'}"
    )
    yield [(whose, "")]
    yield [(f"{found['filled']} of {found['cells']} cells, coverage {found['coverage']:.1%}", "")]
    if found["qd_score"] is None:
        yield [("QD score: name the worst possible score with --worst", "")]
    else:
        yield [(f"QD score {found['qd_score']:.6g} (sum over the worst possible score {worst:g})", "")]
    if found["best"] is not None:
        yield [(f"best {found['best']:.6g}, program {found['best_program']}", "")]
    yield []
    rows = grid.axes[0] if len(grid.axes) == 2 else None
    if len(grid.axes) in (1, 2) and grid.elites and _label(rows) + grid.axes[-1].bins <= WIDTH:
        yield from _matrix(grid, sign, rows)
    else:
        ranked = sorted(cell_rows(grid, sign), key=lambda row: (-sign * row["score"], row["program"]))
        shown = [{**row, "description": printable(row["description"])[:24]} for row in ranked[:TABLE_ROWS]]
        text = render(shown, ("cell", "score", "program", "island", "proposer", "description"))
        yield from ([(line, "")] for line in text.splitlines())
        if len(ranked) > TABLE_ROWS:
            yield [(f"and {len(ranked) - TABLE_ROWS} more cells; -f csv prints all", "")]


def _matrix(grid: Grid, sign: float, rows: FeatureAxis | None) -> Iterator[Line]:
    columns, left, shares = grid.axes[-1], _label(rows), _shares(grid)
    texts = {cell: _short(sign * row["score"]) for cell, row in grid.elites.items()}
    numbers = {cell: str(row["program"]) for cell, row in grid.elites.items()}
    widest = max(map(len, (*texts.values(), *numbers.values())))
    room = (WIDTH - left) // columns.bins
    whole = room > widest
    width = widest + 1 if whole else min(room, 3)
    if not whole:
        texts = {cell: str(int(9 * share)) for cell, share in shares.items()}
    yield from _legend(columns, rows, whole)
    if whole:
        heads = "".join(f"{_edge(columns, index, widest):>{width}}" for index in range(columns.bins))
        yield [(" " * left + heads, "dim")]
    # Larger values are further up, as in a plot.
    for index in range(rows.bins - 1, -1, -1) if rows is not None else (None,):
        cells: list[CellIndex] = [(*(() if index is None else (index,)), column) for column in range(columns.bins)]
        mark = "" if rows is None or index is None else _edge(rows, index, left)
        styles = [_style(shares.get(cell)) for cell in cells]
        for head, shown, empty in ((mark, texts, "."), ("", numbers, ""))[: 2 if whole else 1]:
            found = (f"{shown.get(cell, empty):>{width}}" for cell in cells)
            yield [(f"{head:<{left}}", "dim"), *zip(found, styles, strict=True)]


def _legend(columns: FeatureAxis, rows: FeatureAxis | None, whole: bool) -> Iterator[Line]:
    across = f"columns: {columns.name}" if rows is None else f"rows: {rows.name}, columns: {columns.name}"
    edges = ", each marked with the lower edge of its bin" if whole else f" ({columns.low:g} to {columns.high:g})"
    yield [(across + edges, "dim")]
    short = "a cell: 0 (worst elite) to 9 (best); -f csv prints scores and programs"
    yield [("a cell: score, then program" if whole else short, "dim")]


def _label(rows: FeatureAxis | None) -> int:
    return 0 if rows is None else max(len(_edge(rows, index, 8)) for index in range(rows.bins))


def _edge(axis: FeatureAxis, index: int, width: int) -> str:
    """The lower edge of a bin, with as many digits as there is room for."""
    value = axis.low + index * (axis.high - axis.low) / axis.bins
    forms = [f"{value:.{digits}g}" for digits in (3, 2, 1)]
    if abs(value) >= 1000:
        forms.insert(0, f"{value:.0f}")
    return next((text for text in forms if len(text) <= width), forms[-1][:width])


def _short(value: float) -> str:
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.2f}" if size < 100 else f"{value:.4g}"


def _shares(grid: Grid) -> dict[CellIndex, float]:
    """Where each elite lies between the worst and the best one, 0..1."""
    scores = [row["score"] for row in grid.elites.values()]
    low, high = min(scores), max(scores)
    return {cell: (row["score"] - low) / (high - low) if high > low else 1.0 for cell, row in grid.elites.items()}


def _style(share: float | None) -> str:
    return "dim" if share is None else STYLES[min(int(share * len(STYLES)), len(STYLES) - 1)]
