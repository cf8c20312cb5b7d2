"""``evolve db`` and ``evolve merge-runs``: care for the databases of runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from evolve.cli.archive import axes_of
from evolve.cli.inspect import RUNS, opened
from evolve.errors import ProblemError, RunError

SHOWN = 20
"""Violations of one rule that are printed."""


@click.group("db")
def db_command() -> None:
    """Check, copy or upgrade the database of a run."""


@db_command.command("check")
@click.argument("run", required=False)
@click.option("--quick", is_flag=True, help="Leave out digests that take milliseconds for each program.")
@RUNS
def check_command(run: str | None, quick: bool, runs: str | None) -> None:
    """Check the database of RUN (the newest by default): the file, references, and evolve's own rules.

    Prints a line for each violation and ends with status 1 when there is any.
    """
    from evolve.search.digest import source_digest
    from evolve.store.integrity import violations

    found: Counter[str] = Counter()
    with opened(run, runs) as (folder, connection):
        try:
            axes = axes_of(folder, connection)
        except (ProblemError, RunError) as error:
            axes, found["problem"] = None, 1
            click.echo(f"problem: {error}")
        for violation in violations(connection, axes, source_digest, quick=quick):
            found[violation.rule] += 1
            if found[violation.rule] <= SHOWN:
                click.echo(f"{violation.rule}: {violation.text}")
    for rule, count in found.items():
        if count > SHOWN:
            click.echo(f"{rule}: {count - SHOWN} more")
    if found:
        click.echo(
            f"run {folder.name}: {found.total()} violations; `evolve db backup` copies it before you try to mend it"
        )
        raise click.exceptions.Exit(1)
    click.echo(f"run {folder.name}: nothing is wrong" + (" (without digests of programs and plans)" if quick else ""))


@db_command.command("backup")
@click.argument("run")
@click.argument("target", required=False, type=click.Path(path_type=Path))
@RUNS
def backup_command(run: str, target: Path | None, runs: str | None) -> None:
    """Copy the database of RUN to TARGET, a new file or a folder (the run's own folder by default).

    The run may go on meanwhile. The copy is of one moment, checked, and complete when it appears.
    """
    from datetime import UTC, datetime

    from evolve.loop.folder import find, runs_root
    from evolve.store.backup import back_up
    from evolve.store.connection import FILE_NAME

    folder = find(run, runs_root(runs))
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if target is None:
        target = folder / f"{FILE_NAME}.{stamp}.backup"
    elif target.is_dir():
        target = target / f"{folder.name}-{stamp}.db"
    back_up(folder / FILE_NAME, target)
    click.echo(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB)")


@db_command.command("upgrade")
@click.argument("run")
@RUNS
def upgrade_command(run: str, runs: str | None) -> None:
    """Bring the database of RUN up to date with this evolve, after a copy was made beside it.

    `evolve resume` does the same; this is for runs that are only to be read.
    """
    from evolve.loop.folder import find, runs_root
    from evolve.store.database import Database

    folder = find(run, runs_root(runs))
    Database.open(folder).close()
    click.echo(f"the database of run {folder.name} is up to date")


@click.command("merge-runs")
@click.argument("target")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@RUNS
def merge_runs_command(target: str, sources: tuple[str, ...], runs: str | None) -> None:
    """Import the elites of the runs SOURCE... into the run TARGET, with their scores; nothing is evaluated again.

    All must be runs of the same problem with the same evaluator, items and donors. Programs that TARGET has already are
    left out. TARGET must not be running; its next `evolve resume` goes on with the larger archive.
    """
    from evolve.loop.folder import find, runs_root
    from evolve.store.merging import merge_runs

    root = runs_root(runs)
    folder = find(target, root)
    for found in merge_runs(folder, [find(source, root) for source in sources]):
        click.echo(
            f"{found.run}: {found.programs} programs imported, {found.cells} cells taken, "
            f"{found.duplicates} were known already"
        )
    click.echo(f"run {folder.name} counts no evaluation of its budget for them")
