"""``evolve donors``: the models of a merge problem, and statistics of them that recipes may use."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout

import click

from evolve.cli.inspect import FORMAT
from evolve.cli.run import pairs
from evolve.errors import UsageError

ALL = "all"


@click.command("donors")
@click.argument("problem")
@click.option("--profile", help="A profile of problem.toml.  [default: the problem's]")
@click.option("--donor", "donors", multiple=True, metavar="NAME=PATH", help="Use this folder or hub id for a donor.")
@click.option(
    "--prepare", is_flag=False, flag_value=ALL, metavar="[NAMES]",
    help="Compute what is missing of these statistics, such as fisher,gram.  [default: all]",
)  # fmt: skip
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Where statistics and alignments are computed: auto, cpu, cuda or cuda:0.",
)
@FORMAT
def donors_command(
    problem: str, profile: str | None, donors: tuple[str, ...], prepare: str | None, device: str, form: str
) -> int:
    """List the donors of PROBLEM and the statistics that are prepared for its recipes; --prepare computes them.

    Recipes read statistics with site.stat("fisher", "ja"). They are made from the texts that problem.toml names in
    [profiles.NAME.statistics] and kept in the cache; what is there is not computed again.
    """
    from evolve.loop.donors import COLUMNS, listing, stock_of
    from evolve.loop.donors import prepare as prepare_statistics
    from evolve.problem import load
    from evolve.ui.table import render
    from evolve.ui.watch import PlainWatcher

    names = chosen(prepare)
    problem_chosen = load(problem, profile).with_donors(pairs(donors, "--donor"))
    watcher = PlainWatcher()
    with redirect_stdout(sys.stderr):  # the listing alone is the output
        stock = asyncio.run(stock_of(problem_chosen, watcher, device))
        for note in stock.donors.notes:
            watcher.message(f"note: {note}")
        try:
            if names:
                prepare_statistics(stock, names, device, watcher)
        except KeyboardInterrupt:
            watcher.message("stopped; what was written is kept, the same command makes the rest")
            return 130
        rows = listing(stock, watcher)
    if form != "json":
        rows = [{**row, "statistics": ", ".join(row["statistics"])} for row in rows]
    click.echo(render(rows, COLUMNS, form))
    return 0


def chosen(prepare: str | None) -> list[str]:
    """The statistics that --prepare names."""
    from evolve.plan.statistics import STATISTICS

    if prepare is None:
        return []
    names = sorted(STATISTICS) if prepare == ALL else [name.strip() for name in prepare.split(",")]
    for name in names:
        if name not in STATISTICS:
            raise UsageError(
                f"--prepare takes some of {','.join(sorted(STATISTICS))}, not {name!r}; PROBLEM goes first"
            )
    return names
