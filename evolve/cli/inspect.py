"""``evolve ls``, ``show``, ``diff`` and ``best``: reading runs, also while they go on."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evolve.errors import UsageError
from evolve.store.records import FINISHED, UNFINISHED
from evolve.ui.table import cell, printable, printable_lines, render

RUNS = click.option("--runs", envvar="EVOLVE_RUNS", help="Folder of all runs.  [default: runs]")
FORMAT = click.option(
    "-f", "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
STATES = (*UNFINISHED, *FINISHED)
RUN_COLUMNS = ("id", "state", "evaluations", "best", "best_score", "cost_usd", "last_activity")
PROGRAM_COLUMNS = ("id", "state", "score", "parent_id", "generation", "proposer", "description", "reason")


@contextmanager
def opened(run: str | None, runs: str | None) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """The folder of a run and a read-only connection to its database."""
    from evolve.loop.folder import find, runs_root
    from evolve.store import queries

    folder = find(run, runs_root(runs))
    with queries.reading(folder) as connection:
        yield folder, connection


@click.command("ls")
@click.argument("run", required=False)
@click.option("-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows shown; 0: all.")
@click.option(
    "--state", type=click.Choice(STATES), metavar="STATE", help="Only programs in this state: scored, failed."
)
@click.option("--order", type=click.Choice(["score", "newest", "oldest"]), default="score", show_default=True)
@RUNS
@FORMAT
def ls_command(run: str | None, limit: int, state: str | None, order: str, runs: str | None, form: str) -> None:
    """List the runs, or the programs of RUN with the best first."""
    if run is None:
        list_runs(runs, form)
        return
    from evolve.store import queries

    with opened(run, runs) as (_, connection):
        rows = queries.programs(connection, limit=limit or None, state=state, order=order)
        sign = queries.sign(connection)
    for row in rows:
        row["score"] = None if row["score"] is None else sign * row["score"]
        row["reason"] = row["reason"] or row["stopped"]
    click.echo(render(rows, PROGRAM_COLUMNS, form) if rows or form != "table" else "no programs")


def list_runs(runs: str | None, form: str) -> None:
    """Prints a row for each run; a broken one shows its error."""
    from evolve.loop.folder import runs_root
    from evolve.store import queries

    root = runs_root(runs)
    rows = queries.list_runs(root)
    for row in rows:
        best: dict[str, Any] = row.get("best") or {}
        sign = -1.0 if row.get("direction") == "minimize" else 1.0
        row["best_score"] = sign * best["score"] if best else None
        row["best"] = best.get("id")
        if row.get("state") == "running" and row.get("process") is None:
            row["state"] = "interrupted"
        row["state"] = row.get("state", row.get("error"))
    if not rows and form == "table":
        click.echo(f"no runs in {root}/ yet; start one with `evolve run problems/jp_math`")
        return
    click.echo(render(rows, RUN_COLUMNS, form))


@click.command("show")
@click.argument("program")
@click.argument("run", required=False)
@RUNS
@FORMAT
@click.option("--prompts", is_flag=True, help="Also print what was sent to language models and what they answered.")
@click.option("--provenance", is_flag=True, help="Print each donor's share in every layer and role instead.")
def show_command(program: str, run: str | None, runs: str | None, form: str, prompts: bool, provenance: bool) -> None:
    """Show PROGRAM (a number, `best`, `winner`, or the start of a digest) of RUN (the newest by default)."""
    from evolve.loop.ablation import importance
    from evolve.store import gains, learning, queries

    with opened(run, runs) as (_, connection):
        if provenance:
            click.echo(stored_provenance(connection, program, form))
            return
        row = queries.program(connection, program)
        row["importance"] = importance(connection, row["id"])
        row["credit"] = gains.credited(connection, row["id"])
        prompt = learning.prompt_of(connection, row["id"])
        row["prompt"] = asdict(prompt) if prompt is not None else None
        sign = queries.sign(connection)
        add_intervals(connection, row, sign)
    click.echo(program_text(row, sign, form))
    for call in row["calls"] if prompts else ():
        text = f"\n--- prompt to {call['model']} ---\n{call['prompt']}\n--- reply ---\n{call['reply'] or call['error']}"
        click.echo(printable_lines(text))


def stored_provenance(connection: sqlite3.Connection, program: str, form: str) -> str:
    """A program's provenance in the given format. Raises UsageError where none was measured."""
    from evolve.store import queries
    from evolve.ui.provenance import provenance_text

    number = queries.resolve(connection, program)
    found = queries.provenance(connection, number)
    if found is None:
        raise UsageError(
            f"program {number} has no provenance; it is measured when a merge with two or more donors is scored on the "
            "search split while evaluation.provenance is true"
        )
    return provenance_text({"program": number, **found}, form)


def add_intervals(connection: sqlite3.Connection, row: dict[str, Any], sign: float) -> None:
    """Gives each evaluation of a program its score's 95 % ``interval``, None where it has none."""
    from evolve.store.tasks import split_interval

    for one in row["evaluations"]:
        one["interval"] = split_interval(connection, one["split"], sign * one["score"], one["outcomes"])


def program_text(row: dict[str, Any], sign: float, form: str) -> str:
    """One program in the given format; JSON holds everything but the plan."""
    if form == "table":
        return "\n".join(program_lines(row, sign))
    shown = {name: value for name, value in row.items() if name != "plan"}
    shown["score"] = None if row["score"] is None else sign * row["score"]
    return render([shown], PROGRAM_COLUMNS, form)


def program_lines(row: dict[str, Any], sign: float) -> Iterator[str]:
    """A program for people: fate, scores, knobs, origin, source."""
    yield f"program {row['id']}: {row['state']}" + (f" ({row['reason']})" if row["reason"] else "")
    if row["message"]:
        yield "  " + printable(row["message"]) + (f" (line {row['line']})" if row["line"] else "")
    yield f"  {row['patch']} by {row['proposer']}, generation {row['generation']}: {printable(row['description'])}"
    if row.get("prompt"):
        yield f"  prompt variant {row['prompt']['id']}: {cell(row['prompt']['text'])}"
    for name in ("parent", "mate"):
        if row[name]:
            score = row[name]["score"]
            scored = "" if score is None else f" ({sign * score:.6g})"
            yield f"  {name} {row[name]['id']}{scored}: {printable(row[name]['description'])}"
    if row.get("credit"):
        parts = " + ".join(f"{name} {sign * gain:.4g}" for name, gain in row["credit"].items())
        yield f"  score {sign * row['score']:.4g} = {parts}"
    for evaluation in row["evaluations"]:
        score = sign * evaluation["score"]
        found = evaluation["interval"]
        interval = f" [{found.low:.4f}, {found.high:.4f}] over {evaluation['items']} items" if found else ""
        items = f"{evaluation['items']} of {evaluation['items_total']} items"
        early = f", estimated from {items} ({evaluation['stopped']})" if evaluation["stopped"] else ""
        yield f"  {evaluation['split']:<11} {score:.6g}{interval}{early}  {evaluation['seconds']:.2f} s"
        metrics = ", ".join(f"{name} {cell(value)}" for name, value in evaluation["metrics"].items())
        if metrics:
            yield f"  {'':<11} {metrics}"
    for knob in row["knobs"] or ():
        yield f"  knob {printable(knob['name'])} = {knob['value']}  in [{knob['low']}, {knob['high']}]"
    for line in row.get("importance", ()):
        yield f"  {line}"
    if row["children"]:
        yield f"  children: {', '.join(str(child['id']) for child in row['children'][:20])}"
    if row["source"]:
        yield ""
        yield printable_lines(row["source"].rstrip())


@click.command("diff")
@click.argument("first")
@click.argument("second")
@click.argument("run", required=False)
@click.option("--split", default="search", show_default=True, help="Split whose items are compared.")
@click.option("--items", is_flag=True, help="Also print the first items that flipped.")
@RUNS
@FORMAT
def diff_command(
    first: str, second: str, run: str | None, split: str, items: bool, runs: str | None, form: str
) -> None:
    """Compare programs FIRST and SECOND of RUN: text, scores with paired interval, items that flipped."""
    from evolve.store import queries, standings
    from evolve.store.tasks import strata
    from evolve.ui.difference import Pair, difference_lines, flip_rows

    with opened(run, runs) as (folder, connection):
        rows = [queries.program(connection, name) for name in (first, second)]
        known = sorted({one["split"] for row in rows for one in row["evaluations"]})
        if known and split not in known:
            raise UsageError(f"neither program was evaluated on split {split!r}, only on {', '.join(known)}")
        answered = [standings.answered(connection, row["id"], split) for row in rows]
        common, ours, theirs = standings.paired(*answered)
        sign = queries.sign(connection)
        made = queries.record(connection, folder)["config"].get("prepared")
        weighed = strata(connection, split)
    texts = item_texts(folder, split, made) if items else ()
    pair = Pair(rows, split, common, (ours, theirs), texts, weighed)
    if form != "table":
        click.echo(render(flip_rows(pair), ("item", "change", *(["text"] if items else [])), form))
        return
    click.echo("\n".join(difference_lines(pair, sign)))


def item_texts(folder: Path, split: str, prepared: str | None) -> list[dict[str, Any]]:
    """The items of a split of a run. Raises ProblemError when its file is gone or there is no such split."""
    from evolve.evaluate.splits import Splits
    from evolve.loop.start import existing

    return Splits(existing(folder).problem.splits(Path(prepared) if prepared else None)).items(split)


@click.command("best")
@click.argument("run", required=False)
@click.option("--source", is_flag=True, help="Print only the program's text.")
@click.option("--pareto", is_flag=True, help="Print the programs that no other one beats in every objective instead.")
@RUNS
@FORMAT
def best_command(run: str | None, source: bool, pareto: bool, runs: str | None, form: str) -> None:
    """Print the winner of RUN (chosen by the validation split), or the best so far while it goes on."""
    from evolve.store import queries

    if source and pareto:
        raise UsageError("--source and --pareto exclude each other; `evolve show ID` prints a program of the front")
    with opened(run, runs) as (folder, connection):
        if pareto:
            from evolve.loop.start import existing
            from evolve.ui.pareto import front_text

            objectives = existing(folder).problem.manifest.objectives
            click.echo(front_text(connection, objectives, form))
            return
        sign = queries.sign(connection)
        try:
            row = queries.program(connection, "winner")
        except UsageError:
            row = queries.program(connection, "best")
        add_intervals(connection, row, sign)
    if source:
        text = row["source"].rstrip()
        # a file gets the text as it is, a terminal nothing that drives it
        click.echo(printable_lines(text) if sys.stdout.isatty() else text)
        return
    click.echo(program_text(row, sign, form))
