"""The table at the end of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve.store import queries, standings
from evolve.store.tasks import split_compare, split_interval
from evolve.ui.comparison import chance_lines, comparison_lines

DIFFERENCE = "winner minus this"
SPLITS = ("search", "fresh", "validation", "test")
ZERO_SHOT = "held_out"


def program_row(connection: sqlite3.Connection, number: int, name: str = "") -> dict[str, Any]:
    """A program's score on each split, with its 95 % interval where there are items."""
    row: dict[str, Any] = {"id": number, "name": name or f"program {number}"}
    sign = queries.sign(connection)
    for evaluation in queries.evaluations(connection, number):
        score = sign * evaluation["score"]
        interval = split_interval(connection, evaluation["split"], score, evaluation["outcomes"])
        text = f"{score:.3f} [{interval.low:.3f}, {interval.high:.3f}]" if interval else f"{score:.6g}"
        row[evaluation["split"]] = text
        row[f"{evaluation['split']}_score"] = score
    return row


def report_rows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Baselines from the weakest to the strongest on the search split, then the winner; ``winner minus this`` is the
    paired difference on the last split that both were read on."""
    summary = queries.summary(connection, Path())
    winner = summary["winner_id"] or (summary["best"] or {}).get("id")
    rows = []
    for baseline in reversed(queries.baselines(connection)):
        number = baseline["id"]
        if baseline["state"] == "abandoned":
            continue
        if baseline["score"] is None:
            rows.append(
                {"id": number, "name": baseline["seed_name"], "search": baseline["reason"] or baseline["state"]}
            )
        elif number != winner:
            rows.append(program_row(connection, number, baseline["seed_name"]))
    if winner is None:
        return rows
    for row in rows:
        row[DIFFERENCE] = _difference(connection, winner, row["id"])
    return [*rows, {**program_row(connection, winner, f"best program (#{winner})"), "style": "bold"}]


def print_report(folder: Path) -> None:
    """Prints donors, baselines and the best program, how many programs were looked at, and what to type next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    with queries.reading(folder) as connection:
        rows = report_rows(connection)
        summary = queries.summary(connection, folder)
        compared_lines = comparison_lines(folder, connection, summary)
        chance = chance_lines(connection)
    used = [split for split in (*SPLITS, ZERO_SHOT) if any(split in row for row in rows)]
    compared = any(row.get(DIFFERENCE) for row in rows)
    columns = ["name", *used, *([DIFFERENCE] if compared else [])]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column("zero-shot" if column == ZERO_SHOT else column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(row.get(column) or ""), style=row.get("style", "")) for column in columns))
    console = Console()
    if not console.is_terminal:
        console.width = 140
    intervals = " with 95 % intervals" if compared else ""
    console.print(f"\n{summary['problem']}: scores{intervals}", highlight=False)
    console.print(table)
    for line in ["", *compared_lines, *footer(folder, summary, chance)]:
        console.print(line, markup=False, highlight=False)


def footer(folder: Path, summary: dict[str, Any], chance: Sequence[str]) -> list[str]:
    """What was looked at, what is to be said of ``chance``, and the next commands."""
    states = summary["states"]
    looked = f"{summary['evaluations']} programs were evaluated on the search split; "
    rest = ", ".join(f"{states[state]} {state}" for state in ("duplicate", "rejected", "failed") if states.get(state))
    lines = ["", looked + (rest or "no duplicates or failures"), *chance]
    if summary["cost_usd"] or summary["unknown_costs"]:
        unknown = f" and {summary['unknown_costs']} calls of unknown price" if summary["unknown_costs"] else ""
        lines.append(f"cost ${summary['cost_usd']:.4f}{unknown}")
    lines += ["", f"next:  evolve best {folder.name}", f"       evolve ls {folder.name}"]
    if summary["config"]["kind"] == "merge":
        lines.append(f"       evolve export winner MODEL_FOLDER --run {folder.name}")
    lines.append(f"       evolve resume {folder.name} --evaluations {2 * max(summary['evaluations'], 1)}")
    return lines


def _difference(connection: sqlite3.Connection, winner: int, other: int) -> str:
    for split in reversed(SPLITS):
        answers = (standings.answered(connection, number, split) for number in (winner, other))
        items, ours, theirs = standings.paired(*answers)
        if ours:
            found = split_compare(connection, split, items, ours, theirs)
            return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] {split}"
    return ""
