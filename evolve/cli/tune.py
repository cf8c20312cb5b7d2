"""``evolve tune``: the numbers of one program, by CMA-ES."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evolve.cli.inspect import RUNS, opened
from evolve.errors import UsageError

if TYPE_CHECKING:
    import sqlite3

    from evolve.loop.start import Intent
    from evolve.loop.tune import Tuned
    from evolve.strategies.tuning import TuningOptions

SPLITS = ("search", "validation")


@click.command("tune")
@click.argument("program")
@click.option("--run", help="The run that PROGRAM belongs to.  [default: the newest]")
@click.option("--problem", help="Score PROGRAM, a file, on this problem, in a new run.")
@click.option("--profile", help="A profile of the problem.")
@click.option("--evaluations", type=click.IntRange(min=1), default=60, show_default=True, help="Points to evaluate.")
@click.option(
    "--sigma", type=float, default=1 / 6, help="First standard deviation, as a share of a range.  [default: 1/6]"
)
@click.option("--population", type=int, default=0, help="Results that make an update.  [default: 4 + 3 ln n]")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every random choice (with --problem).")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the tuned text here.")
@click.option("--workers", type=int, help="Evaluation processes.")
@click.option("--device", help="auto, cpu, cuda or cuda:0 (with --problem).")
@click.option("--donor", "donors", multiple=True, metavar="NAME=PATH", help="Use this folder or hub id for a donor.")
@click.option("--name", help="Name of the new run's folder (with --problem).")
@RUNS
@click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")
def tune_command(program: str, run: str | None, problem: str | None, profile: str | None, evaluations: int,
                 sigma: float, population: int, seed: int, output: Path | None, workers: int | None,
                 device: str | None, donors: tuple[str, ...], name: str | None, runs: str | None,
                 plain: bool) -> None:  # fmt: skip
    """Tune the knobs of PROGRAM by CMA-ES and write the values into its text.

    PROGRAM is a number, `best`, `winner` or the start of a digest; its run's database gets every evaluation. With
    --problem it is a file, which is written again with the tuned values (or left alone and OUTPUT written).

    Numbers are tuned on the search split, whose scores flatter them: the honest figure is the validation one.
    """
    from evolve.strategies.tuning import TuningOptions

    if output is not None and output.exists():
        raise UsageError(f"{output} exists; name a new file with -o")
    if not 0 < sigma <= 1:
        raise UsageError(f"--sigma is a share of a knob's range between 0 and 1, not {sigma:g}; 0.17 is usual")
    if population < 0 or 0 < population < 3:
        raise UsageError(f"--population must be 3 or more, not {population}; leave it out for 4 + 3 ln n")
    options = TuningOptions(sigma, population, evaluations=evaluations)
    if problem is None:
        refuse({"--profile": profile, "--device": device, "--donor": donors, "--name": name}, program)
        intent, number = of_run(program, run, runs, workers)
        found = go(intent, number, options, plain)
        write(found, output)
        return
    if run is not None:
        raise UsageError("--run and --problem exclude each other; a file gets a run of its own")
    settings = {"seed": seed, "evaluation": {k: v for k, v in (("device", device), ("workers", workers)) if v}}
    with of_file(Path(program), problem, profile, settings, donors, runs, name) as intent:
        found = go(intent, None, options, plain)
    write(found, output or Path(program))


def refuse(given: dict[str, Any], program: str) -> None:
    """Raises UsageError for options that only make sense with --problem, or a file without one."""
    if program.endswith(".py"):
        raise UsageError(f"{program} is a file; name the problem that scores it with --problem")
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} goes with --problem; a run keeps its own settings")


def of_run(program: str, run: str | None, runs: str | None, workers: int | None) -> tuple[Intent, int]:
    """The run as it would go on, and the number of the program. Raises UsageError where it cannot be tuned."""
    from dataclasses import replace

    from evolve.config import update
    from evolve.loop.start import existing
    from evolve.loop.tune import require_knobs
    from evolve.store import queries

    with opened(run, runs) as (folder, connection):
        row = queries.program(connection, program)
    if row["state"] != "scored" or row["stopped"]:
        state = "evaluated in part" if row["stopped"] else row["state"]
        raise UsageError(
            f"program {row['id']} is {state}, not scored; `evolve ls {folder.name} --state scored` lists candidates"
        )
    require_knobs(row["source"], f"program {row['id']}")
    intent = existing(folder)
    flags = {"evaluation": {"workers": workers} if workers else {}}
    return replace(intent, config=update(intent.config, flags, "the command line")), row["id"]


@contextmanager
def of_file(
    path: Path,
    problem: str,
    profile: str | None,
    settings: dict[str, Any],
    donors: tuple[str, ...],
    runs: str | None,
    name: str | None,
) -> Iterator[Intent]:
    """A new run that starts from the file."""
    from evolve.cli.run import pairs
    from evolve.config import update
    from evolve.loop import folder as folders
    from evolve.loop import tune
    from evolve.problem import load

    chosen = load(problem, profile)
    config = update(chosen.config(), settings, "the command line")
    with tune.of_file(path, chosen, config, pairs(donors, "--donor"), folders.runs_root(runs), name) as intent:
        yield intent


def go(intent: Intent, number: int | None, options: TuningOptions, plain: bool) -> Tuned:
    """Tunes with a view, then prints both programs and what tells them apart."""
    from evolve.loop.tune import tune
    from evolve.store import queries
    from evolve.ui.watch import watcher

    try:
        with watcher(plain) as view:
            found = asyncio.run(tune(intent, number, options.evaluations, options, view))
    except asyncio.CancelledError:
        click.echo(f"aborted; what was evaluated is kept in {intent.folder}", err=True)
        raise click.Abort from None
    with queries.reading(intent.folder) as connection:
        for line in outcome(connection, found, intent.folder.name):
            click.echo(line)
    return found


def outcome(connection: sqlite3.Connection, found: Tuned, run: str) -> Iterator[str]:
    """Both programs with their scores and 95 % intervals, and the paired difference on each split."""
    from evolve.store import queries, standings
    from evolve.store.tasks import split_compare
    from evolve.ui.report import program_row
    from evolve.ui.table import printable, render

    yield f"\n{found.results} points of run {run} told to CMA-ES"
    rows = [program_row(connection, found.start, f"start (#{found.start})")]
    if found.best == found.start:
        yield render(rows, ["name", *(split for split in SPLITS if split in rows[0])])
        yield "no better numbers were found"
        return
    rows.append(program_row(connection, found.best, f"tuned (#{found.best})"))
    used = [split for split in SPLITS if all(split in row for row in rows)]
    yield render(rows, ["name", *used])
    for split in used:
        items, ours, theirs = standings.paired(
            *(standings.answered(connection, number, split) for number in (found.best, found.start))
        )
        if ours:
            result = split_compare(connection, split, items, ours, theirs)
            yield (
                f"tuned minus start, {split}: {result.difference:+.3f} [{result.low:+.3f}, {result.high:+.3f}] over "
                f"{result.items} items" + (" (tuned on these)" if split == "search" else "")
            )
    for knob in queries.program(connection, found.best)["knobs"] or ():
        yield f"  knob {printable(knob['name'])} = {knob['value']}"


def write(found: Tuned, target: Path | None) -> None:
    """Writes the tuned text; a file that already holds the best numbers stays as it is."""
    if target is None or (found.best == found.start and target.exists()):
        return
    target.write_text(found.source, encoding="utf-8")
    click.echo(f"wrote {target}")
