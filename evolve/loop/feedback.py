"""Which items of the search split a program won and lost against its parent and which it fails, as lines for a
language model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.evaluate.splits import Splits
from evolve.propose.reply import one_line
from evolve.statistics import Flips, flips
from evolve.store import standings, tasks

if TYPE_CHECKING:
    from evolve.problem import Problem
    from evolve.store.database import Database

SPLIT = "search"
"""The only split whose items are ever shown: the others judge what was found."""

FLIPPED = 3
FAILED = 4
TASKS = 6
MAX_ITEM = 120


class ItemFeedback:
    """Reads stored outcomes per item, and the items' texts when they are first needed."""

    def __init__(self, database: Database, problem: Problem) -> None:
        self._database = database
        self._problem = problem

    def of(self, program_id: int) -> tuple[str, ...]:
        """At most 16 lines; none for a program without outcomes per item."""
        connection = self._database.connection
        ours = standings.answered(connection, program_id)
        if not ours:
            return ()
        parent_id = self._database.program(program_id).parent_id
        theirs = standings.answered(connection, parent_id) if parent_id is not None else {}
        return (*self._flipped(parent_id, ours, theirs), *self._failed(ours, theirs))

    def _flipped(self, parent_id: int | None, ours: dict[int, float], theirs: dict[int, float]) -> Iterator[str]:
        items, after, before = standings.paired(ours, theirs)
        if not items:
            return
        found = flips(after, before)
        yield (
            f"Against its parent #{parent_id} it is better on {len(found.won)} and worse on {len(found.lost)} of "
            f"{len(items)} items."
        )
        yield from self._by_task(items, found)
        for word, places in (("Worse", found.lost), ("Better", found.won)):
            flipped = [items[place] for place in places]
            chosen = _chosen(flipped, {item: -abs(ours[item] - theirs[item]) for item in flipped}, FLIPPED)
            if chosen:
                yield f"{word}, for example:"
            for item in chosen:
                yield self._line(item, f" ({theirs[item]:.3g} -> {ours[item]:.3g})")

    def _by_task(self, items: Sequence[int], found: Flips) -> Iterator[str]:
        """A line on the tasks that changed most, where the problem has several."""
        known = tasks.recorded(self._database.connection, SPLIT)
        if known is None:
            return
        won, lost = (Counter(known.tasks[items[place]] for place in places) for places in found)
        changed = sorted(won | lost, key=lambda task: (-abs(won[task] - lost[task]), task))[:TASKS]
        if changed:
            yield "Better/worse by task: " + ", ".join(f"{task} {won[task]}/{lost[task]}" for task in changed) + "."

    def _failed(self, ours: dict[int, float], theirs: dict[int, float]) -> Iterator[str]:
        """What it answers wrong, or worst where outcomes are not 0 or 1; rather what its parent did no better."""
        binary = all(outcome in (0.0, 1.0) for outcome in ours.values())
        failed = [item for item, outcome in ours.items() if outcome < 1.0]
        if not failed:
            return
        lasting = [item for item in failed if theirs.get(item, ours[item]) <= ours[item]] or failed
        if binary:
            yield f"It fails {len(failed)} of {len(ours)} items, for example:"
        else:
            yield f"Its lowest of {len(ours)} items, for example:"
        for item in _chosen(lasting, ours, FAILED):
            yield self._line(item, "" if binary else f" ({ours[item]:.3g})")

    def _line(self, item: int, change: str) -> str:
        text = self._texts[item] if item < len(self._texts) else ""
        return f"- item {item}{change}" + (f": {text}" if text else "")

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        """A line for each item of the search split, empty for one that holds no text."""
        made = self._database.run.config.get("prepared")
        paths = self._problem.splits(Path(made) if made else None)
        items = Splits({SPLIT: paths[SPLIT]}).items(SPLIT) if SPLIT in paths else []
        return tuple(_text(item) for item in items)


def _text(item: Mapping[str, Any]) -> str:
    if not any(isinstance(value, str) for value in item.values()):
        return ""
    return one_line(json.dumps(item, ensure_ascii=False), MAX_ITEM)


def _chosen(items: Sequence[int], rank: Mapping[int, float], count: int) -> list[int]:
    """The items of lowest rank; of equals some spread over all, because neighbours are often of one kind."""
    if len({rank[item] for item in items}) == 1:
        step = max(1.0, len(items) / count)
        return [items[int(place * step)] for place in range(min(count, len(items)))]
    return sorted(items, key=lambda item: (rank[item], item))[:count]
