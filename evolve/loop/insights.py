"""What the edits before and after a program did to the score, as lines for a language model."""

from __future__ import annotations

import itertools
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from evolve.propose.reply import one_line
from evolve.statistics import flips, mcnemar
from evolve.store import family, standings
from evolve.store.family import Relative
from evolve.store.gains import TUNING
from evolve.store.tasks import split_compare, strata

SPLIT = "search"
ANCESTORS = 3
OFFSPRING = 2
MAX_DESCRIPTION = 90
MAX_REASON = 120
EFFECTS_KEPT = 1024


class Insights:
    """Looks back along a program's line and ahead to what was made from it; what two programs differ by is kept."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._effects: OrderedDict[tuple[int, int], str] = OrderedDict()

    def of(self, program_id: int) -> tuple[str, ...]:
        """The edits that changed the score most on the way to a program, then its best offspring, its worst child and
        its newest failed one; a line each, at most seven.

        Whole evaluations only. Moves of numbers alone are left out.
        """
        line = family.line(self._connection, program_id)
        if not line:
            return ()
        return (*self._ancestors(line), *self._offspring(line[-1]))

    def effect(self, before: Relative, after: Relative) -> str:
        """``+0.031 (won 14, lost 5 of 350 items), p = 0.04``: the second program against the first, by what both
        answered; the difference alone where there are no items. Both have a score."""
        key = (before.id, after.id)
        if key not in self._effects:
            self._effects[key] = self._compared(before, after)
        self._effects.move_to_end(key)
        while len(self._effects) > EFFECTS_KEPT:
            self._effects.popitem(last=False)
        return self._effects[key]

    def _compared(self, before: Relative, after: Relative) -> str:
        assert before.score is not None and after.score is not None, "only scored programs are compared"
        gain = f"{after.score - before.score:+.3g}"
        answers = [standings.answered(self._connection, one.id) for one in (after, before)]
        items, ours, theirs = standings.paired(*answers)
        if not items:
            return gain
        won, lost = (len(places) for places in flips(ours, theirs))
        # Where tasks have weights McNemar's test is not that of the score; elsewhere it spares a bootstrap.
        weighed = strata(self._connection, SPLIT) is not None
        p_value = split_compare(self._connection, SPLIT, items, ours, theirs).p_value if weighed else mcnemar(won, lost)
        return f"{gain} (won {won}, lost {lost} of {len(items)} items), p = {p_value:.2g}"

    def _ancestors(self, line: Sequence[Relative]) -> Iterator[str]:
        # A failed program between two scored ones belongs to the step: its repair is held against the last score.
        scored = [place for place, one in enumerate(line) if one.score is not None]
        steps = [line[first : last + 1] for first, last in itertools.pairwise(scored)]
        edits = [step for step in steps if step[-1].patch != TUNING and _change(step)]
        largest = sorted(edits, key=lambda step: -abs(_change(step)))[:ANCESTORS]
        yield from (self._step(step) for step in edits if step in largest)

    def _offspring(self, program: Relative) -> Iterator[str]:
        if program.score is None:
            return
        best = family.best_offspring(self._connection, program.id, OFFSPRING)
        for one in best:
            between = family.line(self._connection, one.id)[-2:-1] if one.parent_id != program.id else []
            yield self._step([program, *between, one])
        worst = family.worst_child(self._connection, program.id)
        if worst is not None and worst not in best and _change([program, worst]) < 0:
            yield self._step([program, worst])
        failed = family.failed_child(self._connection, program.id)
        if failed is not None:
            why = one_line(f"{failed.reason}: {failed.message}", MAX_REASON)
            yield f"{_path((program, failed))} {_told(failed)} -> failed: {why}"

    def _step(self, step: Sequence[Relative]) -> str:
        return f"{_path(step)} {_told(step[-1])}: {self.effect(step[0], step[-1])}"


def _change(step: Sequence[Relative]) -> float:
    return (step[-1].score or 0.0) - (step[0].score or 0.0)


def _path(step: Iterable[Relative]) -> str:
    return " -> ".join(f"#{one.id}" for one in step)


def _told(program: Relative) -> str:
    return one_line(program.description, MAX_DESCRIPTION)
