"""``evolve import``: a mergekit configuration as a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evolve.errors import UsageError

if TYPE_CHECKING:
    from evolve.plan.plan import Plan


@click.command("import")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The recipe to write.  [default: standard output]")
@click.option("--problem", type=click.Path(path_type=Path), help="Write the recipe as a seed of this problem folder.")
def import_command(configuration: Path, out: Path | None, problem: Path | None) -> None:
    """Turn CONFIGURATION, a YAML file of mergekit, into a recipe that computes the same merge.

    `evolve merge` builds it; `evolve run` improves it when --problem names a new folder, or a problem with these
    donors. docs/mergekit.md says what is understood and what differs.
    """
    from evolve.cli.new import SCAFFOLDS
    from evolve.mergekit.recipe import convert
    from evolve.mergekit.scaffold import write_problem
    from evolve.mergekit.schema import read

    if out is not None and problem is not None:
        raise UsageError("give either --out or --problem: a problem's recipe goes to its seeds/")
    found = read(read_text(configuration), str(configuration))
    converted = convert(found, configuration.name)
    if problem is not None:
        with _writing(problem):
            write_problem(problem, SCAFFOLDS / "merge", configuration.stem, converted, found.tokenizer)
        click.echo(f"wrote {problem}: seeds/{configuration.stem}.py, {found.method} of {', '.join(converted.donors)}")
        click.echo(f"next:  evolve check {problem}\n       evolve run {problem}")
    elif out is not None:
        if out.exists():
            raise UsageError(f"{out} exists; name a new file")
        _write_text(out, converted.source)
        click.echo(f"wrote {out}: {found.method} of {', '.join(converted.donors)}")
        options = f" --dtype {found.dtype}" if found.dtype else ""
        if found.tokenizer == "union":
            options += " --vocabulary union"
        elif found.tokenizer not in (None, "base"):
            options += f" --tokenizer {converted.name_of(str(found.tokenizer))}"
        click.echo(f"next:  evolve merge {out} --out MODEL{options}")
    else:
        click.echo(converted.source, nl=False)


def read_text(path: Path) -> str:
    """The content of a text file; UsageError for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"{path} cannot be read: {reason}") from None


def _write_text(path: Path, text: str) -> None:
    with _writing(path):
        path.write_text(text, encoding="utf-8")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """UsageError for what cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; name another place") from None


def write_configuration(program: str, run: str | None, runs: str | None, file: Path) -> None:
    """``evolve export PROGRAM --mergekit FILE``; the program is a recipe file, or one of a run."""
    from evolve.mergekit.export import export

    if file.exists():
        raise UsageError(f"{file} exists; name a new file")
    plan, layers, places = _of_file(Path(program)) if program.endswith(".py") else _of_run(program, run, runs)
    try:
        exported = export(plan, layers, places, _stored_dtype(places))
    except UsageError as error:
        raise UsageError(f"{program} has no mergekit configuration: {error}") from None
    _write_text(file, exported.text)
    proof = "gives the same plan when imported" if exported.exact else "equal up to float32 rounding"
    click.echo(f"wrote {file}: {proof}")


def _of_file(recipe: Path) -> tuple[Plan, int, dict[str, str]]:
    """Plan, layers and donors of a recipe file; only the configuration of its donors is read."""
    from evolve.donors.checkpoint import locate, open_checkpoint
    from evolve.donors.donors import expected_shapes
    from evolve.donors.sites import sites_of
    from evolve.loop.standalone import named_donors, traced

    source = read_text(recipe)
    places = _plain(named_donors(source, recipe, {}))
    reference = "base" if "base" in places else next(iter(places))
    location = locate(places[reference])
    if location.path is None:
        fetch = f"; get it with `{location.command}`" if location.command else ""
        raise UsageError(f"donor {reference!r}: {places[reference]} is not on this machine{fetch}")
    config = open_checkpoint(location, "take another copy").config
    layers = int(config.num_hidden_layers)
    sites = sites_of(config, expected_shapes(config))
    return traced(source, recipe, sites, dict.fromkeys(places, layers)), layers, places


def _of_run(program: str, run: str | None, runs: str | None) -> tuple[Plan, int, dict[str, str]]:
    """Plan, layers and donors of a scored program."""
    import asyncio

    from evolve.cli.inspect import opened
    from evolve.cli.model import located
    from evolve.donors.sites import split_name
    from evolve.loop.start import prepared
    from evolve.plan.plan import Plan
    from evolve.store import queries
    from evolve.ui.watch import PlainWatcher

    intent, number = located(run, runs, program)
    if intent.problem.kind != "merge":
        raise UsageError(f"run {intent.folder.name} evolves programs, not models")
    if intent.problem.profile.vocabulary == "union":
        raise UsageError(f"run {intent.folder.name} unites vocabularies, mergekit in another way")
    with opened(run, runs) as (_, connection):
        plan = Plan.from_dict(queries.program(connection, number)["plan"])
    places = intent.problem.donors(asyncio.run(prepared(intent.problem, PlainWatcher())))
    layers = [layer for site in plan.sites if (layer := split_name(site.name)[0]) is not None]
    return plan, 1 + max(layers), _plain({name: place for name, place in places.items() if name in plan.donors})


def _plain(places: Mapping[str, Any]) -> dict[str, str]:
    """Folders and hub ids; UsageError for a donor that is made from others."""
    from evolve.sources import described

    for name, entry in places.items():
        if not isinstance(entry, str):
            raise UsageError(f"donor {name!r} is {described(entry)}, which a mergekit configuration does not name")
    return dict(places)


def _stored_dtype(places: Mapping[str, str]) -> str | None:
    """The dtype in the configuration of the base, else of the first donor; None where none is told."""
    import json

    from evolve.mergekit.schema import DTYPES

    file = Path(places.get("base") or next(iter(places.values()))).expanduser() / "config.json"
    if not file.is_file():
        return None
    table = json.loads(file.read_text(encoding="utf-8"))
    told = str(table.get("dtype") or table.get("torch_dtype"))
    return told if told in DTYPES else None
