"""``evolve new``: a new problem that runs at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from evolve.errors import UsageError

SCAFFOLDS = Path(__file__).resolve().parent.parent / "scaffolds"


@click.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["merge", "program"]), default="program", show_default=True)
def new_command(folder: Path, kind: str) -> None:
    """Write a new problem into FOLDER: a small working example of the given kind, to be changed into your own.

    docs/problems.md goes through its files one by one.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; name a new folder")
    shutil.copytree(SCAFFOLDS / kind, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    click.echo(f"wrote {folder}: problem.toml, task.md, evaluate.py, seeds/")
    click.echo(f"next:  evolve check {folder}\n       evolve run {folder}")
