"""``evolve archive``: the MAP-Elites grid of a run, also while it goes on."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.inspect import FORMAT, RUNS, opened

if TYPE_CHECKING:
    from evolve.features import FeatureAxis


def axes_of(folder: Path, connection: sqlite3.Connection) -> list[FeatureAxis]:
    """The features of a run's problem, from its own copy. Raises RunError or ProblemError when that is damaged."""
    from evolve.loop.folder import restore
    from evolve.store import queries

    record = queries.record(connection, folder)
    problem, _ = restore(folder, record["problem"], record["profile"], record["config"])
    return problem.axes


@click.command("archive")
@click.argument("run", required=False)
@click.option("--island", type=click.IntRange(min=0), help="Only this island.  [default: all together]")
@click.option(
    "--worst", type=float, help="The worst possible score, for the QD score.  [default: 0 for a maximised score]"
)
@RUNS
@FORMAT
def archive_command(run: str | None, island: int | None, worst: float | None, runs: str | None, form: str) -> None:
    """Print the MAP-Elites grid of RUN (the newest by default): coverage, QD score, the elite of each cell.

    The grid is what the islands hold now. JSON holds the figures and every cell, CSV the cells.
    """
    from evolve.store import grid as grids
    from evolve.store import queries
    from evolve.ui.grid import COLUMNS, cell_rows, figures, grid_lines, plain
    from evolve.ui.table import render

    with opened(run, runs) as (folder, connection):
        grid = grids.read(connection, axes_of(folder, connection), island)
        sign = queries.sign(connection)
    if worst is None and sign > 0:
        worst = 0.0
    if form == "json":
        found = {"run": folder.name, **figures(grid, sign, worst), "elites": cell_rows(grid, sign)}
        click.echo(json.dumps(found, indent=2))
    elif form == "csv":
        click.echo(render(cell_rows(grid, sign), COLUMNS, form))
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console()
        for line in grid_lines(grid, sign, worst):
            console.print(Text.assemble(*line), no_wrap=True, crop=False)
    else:
        click.echo("\n".join(plain(line) for line in grid_lines(grid, sign, worst)))
