"""``evolve ls``, ``show``, ``diff`` and ``best``: reading runs, also while they go on."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from evolve.errors import UsageError
from evolve.ui.table import cell, printable, render

RUNS = click.option("--runs", envvar="EVOLVE_RUNS", help="Folder of all runs.  [default: runs]")
FORMAT = click.option(
    "-f", "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
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
@click.option("-n", "--limit", type=int, default=20, show_default=True, help="Rows shown; 0: all.")
@click.option("--state", help="Only programs in this state, such as scored or failed.")
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
    from evolve.store import queries

    with opened(run, runs) as (_, connection):
        if provenance:
            click.echo(stored_provenance(connection, program, form))
            return
        row = queries.program(connection, program)
        sign = queries.sign(connection)
    click.echo(program_text(row, sign, form))
    for call in row["calls"] if prompts else ():
        click.echo(
            f"\n--- prompt to {call['model']} ---\n{call['prompt']}\n--- reply ---\n{call['reply'] or call['error']}"
        )


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


def program_text(row: dict[str, Any], sign: float, form: str) -> str:
    """One program in the given format; JSON holds everything but the plan."""
    if form == "table":
        return "\n".join(program_lines(row, sign))
    shown = {name: value for name, value in row.items() if name != "plan"}
    shown["score"] = None if row["score"] is None else sign * row["score"]
    return render([shown], PROGRAM_COLUMNS, form)


def program_lines(row: dict[str, Any], sign: float) -> Iterator[str]:
    """A program for people: fate, scores, knobs, origin, source."""
    from evolve.statistics import score_interval

    yield f"program {row['id']}: {row['state']}" + (f" ({row['reason']})" if row["reason"] else "")
    if row["message"]:
        yield "  " + printable(row["message"]) + (f" (line {row['line']})" if row["line"] else "")
    yield f"  {row['patch']} by {row['proposer']}, generation {row['generation']}: {printable(row['description'])}"
    for name in ("parent", "mate"):
        if row[name]:
            score = row[name]["score"]
            scored = "" if score is None else f" ({sign * score:.6g})"
            yield f"  {name} {row[name]['id']}{scored}: {printable(row[name]['description'])}"
    for evaluation in row["evaluations"]:
        score = sign * evaluation["score"]
        found = score_interval(score, evaluation["outcomes"])
        interval = f" [{found.low:.4f}, {found.high:.4f}] over {evaluation['items']} items" if found else ""
        yield f"  {evaluation['split']:<11} {score:.6g}{interval}  {evaluation['seconds']:.2f} s"
        metrics = ", ".join(f"{name} {cell(value)}" for name, value in evaluation["metrics"].items())
        if metrics:
            yield f"  {'':<11} {metrics}"
    for knob in row["knobs"] or ():
        yield f"  knob {knob['name']} = {knob['value']}  in [{knob['low']}, {knob['high']}]"
    if row["children"]:
        yield f"  children: {', '.join(str(child['id']) for child in row['children'][:20])}"
    if row["source"]:
        yield ""
        yield row["source"].rstrip()


@click.command("diff")
@click.argument("first")
@click.argument("second")
@click.argument("run", required=False)
@click.option("--split", default="search", show_default=True, help="Split whose items are compared.")
@RUNS
@FORMAT
def diff_command(first: str, second: str, run: str | None, split: str, runs: str | None, form: str) -> None:
    """Compare programs FIRST and SECOND of RUN: text, scores with paired interval, items that flipped."""
    from evolve.statistics import compare, flips
    from evolve.store import queries

    with opened(run, runs) as (_, connection):
        rows = [queries.program(connection, name) for name in (first, second)]
        outcomes = [queries.outcomes(connection, row["id"], split) for row in rows]
        sign = queries.sign(connection)
    comparable = bool(outcomes[0]) and len(outcomes[0]) == len(outcomes[1])
    won, lost = flips(outcomes[1], outcomes[0]) if comparable else ([], [])
    if form != "table":
        data = [{"item": item, "change": change} for change, items in (("won", won), ("lost", lost)) for item in items]
        click.echo(render(data, ("item", "change"), form))
        return
    names = [f"program {row['id']}" for row in rows]
    texts = [(row["source"] or "").splitlines() for row in rows]
    click.echo(
        "\n".join(difflib.unified_diff(texts[0], texts[1], names[0], names[1], lineterm=""))
        or "the programs have the same text"
    )
    scores = [next((e["score"] for e in row["evaluations"] if e["split"] == split), None) for row in rows]
    for name, score in zip(names, scores, strict=True):
        click.echo(f"{name}: {split} " + ("not evaluated" if score is None else f"{sign * score:.6g}"))
    if comparable:
        found = compare(outcomes[1], outcomes[0])
        click.echo(
            f"{names[1]} minus {names[0]}: {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}], "
            f"McNemar p = {found.p_value:.3g}"
        )
        click.echo(f"items won: {len(won)} {won[:20]}\nitems lost: {len(lost)} {lost[:20]}")


@click.command("best")
@click.argument("run", required=False)
@click.option("--source", is_flag=True, help="Print only the program's text.")
@RUNS
@FORMAT
def best_command(run: str | None, source: bool, runs: str | None, form: str) -> None:
    """Print the winner of RUN (chosen by the validation split), or the best so far while it goes on."""
    from evolve.store import queries

    with opened(run, runs) as (_, connection):
        sign = queries.sign(connection)
        try:
            row = queries.program(connection, "winner")
        except UsageError:
            row = queries.program(connection, "best")
    click.echo(row["source"].rstrip() if source else program_text(row, sign, form))
