"""``evolve stats``: what each proposer brought and cost, also while a run goes on."""

from __future__ import annotations

import json

import click

from evolve.cli.inspect import FORMAT, RUNS, opened


@click.command("stats")
@click.argument("run", required=False)
@RUNS
@FORMAT
def stats_command(run: str | None, runs: str | None, form: str) -> None:
    """Show what each arm of RUN (the newest by default) proposed, gained and cost.

    An arm is a proposer: a language model, the offline mutator, a group of its operators, or the tuning of numbers. CSV
    holds the arms, JSON everything.
    """
    from evolve.ui.stats import ARM_COLUMNS, statistics, statistics_lines
    from evolve.ui.table import render

    with opened(run, runs) as (folder, connection):
        found = statistics(connection)
    if form == "json":
        click.echo(json.dumps({"run": folder.name, **found}, ensure_ascii=False, indent=2))
    elif form == "csv":
        click.echo(render(found["arms"], ARM_COLUMNS, form))
    else:
        click.echo("\n".join(statistics_lines(found)))
