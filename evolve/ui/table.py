"""Rows of data as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("table", "json", "csv")


def render(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str = "table", title: str = "") -> str:
    """Text of the rows: a table of ``columns`` for people; JSON and CSV hold full precision."""
    if form == "json":
        return json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=2, default=str)
    if form == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().rstrip("\n")
    return _table(rows, columns, title)


def cell(value: Any) -> str:
    """A value for people: numbers to four significant decimals, nothing for None, one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"
    text = printable(str(value))
    return text if len(text) <= 70 else text[:67] + "..."


def printable(text: str) -> str:
    """Text without control characters: what a program says must not drive the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell(row.get(column)), style=str(row.get("style") or "")) for column in columns))
    out = io.StringIO()
    Console(file=out, width=200, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
