"""Rows of data as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("table", "json", "csv")
LONGEST_LINE = 200
_CONTROLS = {number: f"\\u{number:04x}" for number in range(0x7F, 0xA0)}
"""Control characters that JSON leaves as they are but terminals may obey."""


def render(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str = "table", title: str = "") -> str:
    """Text of the rows: a table of ``columns`` for people; JSON and CSV hold full precision."""
    if form == "json":
        return json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=2, default=str).translate(_CONTROLS)
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


def printable_lines(text: str) -> str:
    """A text of several lines without control characters."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> str:
    # By hand: importing rich takes a fifth of the time of a command that reads a run.
    heads = [column.replace("_", " ") for column in columns]
    texts = [heads, *([cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    numeric = [any(isinstance(row.get(column), int | float) for row in rows) for column in columns]
    lines = [title] if title else []
    for line in texts:
        gaps = [" " * (width - _width(text)) for text, width in zip(line, widths, strict=True)]
        padded = (gap + text if right else text + gap for text, gap, right in zip(line, gaps, numeric, strict=True))
        lines.append("  ".join(padded).rstrip()[:LONGEST_LINE])
    return "\n".join(lines)


def _width(text: str) -> int:
    """Columns of a terminal; Chinese, Japanese and Korean characters take two, accents of their own none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )
