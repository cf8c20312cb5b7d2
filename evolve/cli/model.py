"""``evolve test`` and ``evolve export``: what is done with a program once it has been found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.inspect import FORMAT, RUNS, opened
from evolve.errors import UsageError

if TYPE_CHECKING:
    from evolve.loop.start import Intent


def located(run: str | None, runs: str | None, program: str) -> tuple[Intent, int]:
    """The run as it would go on, and the number of one of its programs."""
    from evolve.loop.start import existing
    from evolve.store import queries

    with opened(run, runs) as (folder, connection):
        row = queries.program(connection, program)
    number, state = row["id"], row["state"]
    if state != "scored":
        raise UsageError(
            f"program {number} is {state}, not scored; `evolve ls {folder.name} --state scored` lists candidates"
        )
    return existing(folder), number


@click.command("test")
@click.argument("program", default="winner")
@click.argument("run", required=False)
@RUNS
@FORMAT
def test_command(program: str, run: str | None, runs: str | None, form: str) -> None:
    """Evaluate PROGRAM (`winner` by default) of RUN on the sealed test split, once; later calls print the same figures.

    Look at the test split only for programs that you have settled on: choosing by it spoils it.
    """
    from evolve.loop.after import test
    from evolve.ui.report import program_row
    from evolve.ui.table import render
    from evolve.ui.watch import PlainWatcher

    intent, number = located(run, runs, program)
    asyncio.run(test(intent, number, PlainWatcher()))
    with opened(str(intent.folder), None) as (_, connection):
        row = program_row(connection, number)
    click.echo(render([row], ("name", "search", "validation", "test"), form))


@click.command("export")
@click.argument("program")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--mergekit", type=click.Path(path_type=Path), help="Write a mergekit configuration of the merge to FILE."
)
@click.option("--run", help="The run.  [default: the newest]")
@RUNS
def export_command(program: str, folder: Path | None, mergekit: Path | None, run: str | None, runs: str | None) -> None:
    """Write the merged model of PROGRAM (a number, `best` or `winner`) to FOLDER as a Hugging Face checkpoint.

    Tokenizer, generation config and a model card with score, donors, recipe and lineage go with it. The checkpoint is
    loaded again and compared bit for bit before it gets its name. With --mergekit PROGRAM may also be a recipe file,
    and FOLDER is left out unless both are wanted.
    """
    if mergekit is not None:
        from evolve.cli.convert import write_configuration

        write_configuration(program, run, runs, mergekit)
        if folder is None:
            return
    if folder is None or program.endswith(".py"):
        raise UsageError(
            "name a folder for the model, or a file with --mergekit; `evolve merge` builds the model of a recipe file"
        )
    from evolve.loop.after import export
    from evolve.ui.watch import PlainWatcher

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; name a new folder")
    intent, number = located(run, runs, program)
    if intent.problem.kind != "merge":
        raise UsageError(
            f"run {intent.folder.name} evolves programs, not models; `evolve best --source` prints its program"
        )
    asyncio.run(export(intent, number, folder, PlainWatcher()))
    click.echo(f"wrote {folder}: program {number}, verified bit for bit")
    click.echo(f"load it with:  AutoModelForCausalLM.from_pretrained({str(folder)!r})")
