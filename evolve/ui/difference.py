"""Two programs of a run side by side: text, scores, items that flipped."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.statistics import Comparison, Flips, compare, flips
from evolve.stratified import Strata, weighted_compare
from evolve.ui.table import printable, printable_lines

SHOWN_ITEMS = 20
SHOWN_CHARACTERS = 110


@dataclass(frozen=True)
class Pair:
    """Two programs and their outcomes on the ``items`` that both answered, counted from 0 in the split's file.

    ``texts`` are the split's items, empty where they are not to be shown; ``strata`` are the split's where its score
    is a weighted mean of tasks.
    """

    rows: Sequence[Mapping[str, Any]]
    split: str
    items: Sequence[int]
    outcomes: tuple[Sequence[float], Sequence[float]]
    texts: Sequence[Mapping[str, Any]] = ()
    strata: Strata | None = None

    @property
    def comparison(self) -> Comparison:
        """The second program against the first."""
        if self.strata is None:
            return compare(self.outcomes[1], self.outcomes[0])
        return weighted_compare(self.strata.part(self.items), self.outcomes[1], self.outcomes[0])

    @property
    def flips(self) -> Flips:
        """The items that the second program won and lost against the first."""
        found = flips(self.outcomes[1], self.outcomes[0])
        return Flips(tuple(self.items[i] for i in found.won), tuple(self.items[i] for i in found.lost))

    def text(self, item: int) -> str:
        """One line of an item; empty where texts are not shown."""
        if not self.texts:
            return ""
        line = printable(json.dumps(self.texts[item], ensure_ascii=False))
        return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def flip_rows(pair: Pair) -> list[dict[str, Any]]:
    """A row for each item that flipped."""
    changes = zip(("won", "lost"), pair.flips, strict=True)
    return [{"item": item, "change": change, "text": pair.text(item)} for change, items in changes for item in items]


def difference_lines(pair: Pair, sign: float) -> Iterator[str]:
    """The comparison for people."""
    names = [f"program {row['id']}" for row in pair.rows]
    texts = [printable_lines(row["source"] or "").splitlines() for row in pair.rows]
    changed = list(difflib.unified_diff(texts[0], texts[1], names[0], names[1], lineterm=""))
    yield from changed or ["the programs have the same text"]
    for name, row in zip(names, pair.rows, strict=True):
        found = next((e for e in row["evaluations"] if e["split"] == pair.split), None)
        early = (
            f" (ended early: {found['items']} of {found['items_total']} items)" if found and found["stopped"] else ""
        )
        yield f"{name}: {pair.split} " + (f"{sign * found['score']:.6g}{early}" if found else "not evaluated")
    if not pair.items:
        return
    result = pair.comparison
    test = "McNemar" if pair.strata is None else "randomisation"
    yield (
        f"{names[1]} minus {names[0]} on the {result.items} items that both answered: {result.difference:+.4f} "
        f"[{result.low:+.4f}, {result.high:+.4f}], {test} p = {result.p_value:.3g}"
    )
    for what, items in zip(("items won", "negative flips (items lost)"), pair.flips, strict=True):
        yield f"{what}: {len(items)} {list(items[:SHOWN_ITEMS])}"
        if pair.texts:
            yield from (f"  {item}: {pair.text(item)}" for item in items[:SHOWN_ITEMS])
