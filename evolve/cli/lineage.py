"""``evolve lineage``: where a program comes from and what came of it, also while the run goes on."""

from __future__ import annotations

import json

import click

from evolve.cli.inspect import RUNS, opened
from evolve.errors import UsageError


@click.command("lineage")
@click.argument("program", default="best")
@click.argument("run", required=False)
@click.option(
    "--depth", type=click.IntRange(min=1), default=20, show_default=True,
    help="Lines of ancestors shown, and generations of descendants looked at.",
)  # fmt: skip
@click.option("--best", type=click.IntRange(min=0), default=10, show_default=True, help="Descendants shown.")
@click.option("--dot", is_flag=True, help="Print a graph for Graphviz.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@RUNS
def lineage_command(
    program: str, run: str | None, depth: int, best: int, dot: bool, as_json: bool, runs: str | None
) -> None:
    """Print the ancestors of PROGRAM, its edits and what each did to the score, then its best descendants.

    PROGRAM is a number, `best`, `winner` or the start of a digest. Consecutive steps that changed numbers only are one
    line.
    """
    from evolve.store import queries
    from evolve.store.descent import descent
    from evolve.ui.tree import tree_data, tree_dot, tree_lines

    if dot and as_json:
        raise UsageError("--dot and --json exclude each other; give one of them")
    with opened(run, runs) as (folder, connection):
        found = descent(connection, queries.resolve(connection, program), best, depth)
        sign = queries.sign(connection)
    if as_json:
        click.echo(json.dumps({"run": folder.name, **tree_data(found, sign)}, indent=2))
    else:
        click.echo("\n".join(tree_dot(found, sign) if dot else tree_lines(found, sign, depth)))
