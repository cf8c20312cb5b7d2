"""Which donor and which layers a program owes its score to: variants without a part of it, evaluated and compared."""

from __future__ import annotations

import ast
import sqlite3
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolve.store import queries, recall
from evolve.store.recall import ABLATION
from evolve.store.records import FINISHED
from evolve.store.tasks import split_compare
from evolve.strategies.base import Ask

if TYPE_CHECKING:
    from evolve.loop.parts import Parts

BASE = "base"
EVERY = 60
"""Evaluations between two programs that are ablated, where the settings leave it open and a language model takes part.
"""

PLACES = {
    "": "True",
    "the lower third": "site.layer is not None and site.depth < 1 / 3",
    "the middle third": "site.layer is not None and 1 / 3 <= site.depth <= 2 / 3",
    "the top third": "site.layer is not None and site.depth > 2 / 3",
    "attention": 'site.block == "attention"',
    "mlp": 'site.block == "mlp"',
}
"""Where a donor can be left out, with the test of a site; the empty name is everywhere."""

_WRAPPER = """

# What follows measures what {donor} is worth{where}: there the base stands in its place.
import inspect as _inspect


def _without(function):
    asked = _inspect.signature(function).parameters
    everything = any(one.kind is one.VAR_KEYWORD for one in asked.values())

    def ablated(site, **given):
        if {donor!r} in given and ({test}):
            given[{donor!r}] = given[{base!r}]
        if {base!r} not in asked and not everything:
            del given[{base!r}]
        return function(site, **given)

    wanted = list(asked.values())
    if {base!r} not in asked and not everything:
        wanted.append(_inspect.Parameter({base!r}, _inspect.Parameter.KEYWORD_ONLY))
    ablated.__signature__ = _inspect.Signature(wanted)
    return ablated


"""


@dataclass(frozen=True)
class Part:
    """A donor's difference from the base, everywhere or in one of ``PLACES``."""

    donor: str
    place: str = ""

    @property
    def label(self) -> str:
        return f"without {self.donor}" + (f" in {self.place}" if self.place else "")


def without(source: str, part: Part, base: str = BASE) -> str:
    """The recipe with the base in place of a donor wherever its part lies.

    The text is wrapped, not edited: ``merge`` and ``gather`` are called with other tensors, so that it works for every
    recipe. Layers that a ``stack`` takes from the donor as they are stay.
    """
    where = f" in {part.place}" if part.place else ""
    wrapper = _WRAPPER.format(donor=part.donor, where=where, test=PLACES[part.place], base=base)
    defined = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    names = [name for name in ("merge", "gather") if name == "merge" or name in defined]
    return source.rstrip() + wrapper + "\n".join(f"{name} = _without({name})" for name in names) + "\n"


class Ablation:
    """Asks for the variants of the best program every so many evaluations, one proposal at a time.

    First every donor is left out as a whole, then the one that is missed most in each third of the depth, in attention
    and in the MLPs. Each variant uses an evaluation of the budget. None of them enters the archive.
    """

    def __init__(self, parts: Parts) -> None:
        told = parts.config.evaluation.ablate_every
        every = told if told >= 0 else EVERY if parts.ensemble.client is not None else 0
        possible = parts.problem.kind == "merge" and BASE in parts.donor_layers
        self._parts = parts
        self._every = every if possible else 0
        self._waiting: deque[Part] = deque()
        self._target: int | None = None
        self._again = False
        if self._every:
            self._due = (parts.database.counts().evaluations // self._every + 1) * self._every
            self._target = recall.last_ablated(parts.database.connection)
            # A run that was stopped between the two rounds goes on with the second.
            self._again = self._target is not None and not any(row.note["place"] for row in self._rows())

    def ask(self, evaluations: int) -> Ask | None:
        """The next variant, None when none is due; ``evaluations`` are those made so far."""
        if not self._every:
            return None
        if not self._waiting and self._again:
            self._second_round()
        elif not self._waiting and evaluations >= self._due:
            self._due = (evaluations // self._every + 1) * self._every
            self._first_round()
        return self._asked(self._waiting.popleft()) if self._waiting else None

    def _rows(self) -> list[recall.Ablated]:
        assert self._target is not None, "only a target has variants"
        return recall.ablations(self._parts.database.connection, self._target)

    def _first_round(self) -> None:
        best = self._parts.archive.best()
        if best is None or recall.ablations(self._parts.database.connection, best.id):
            return
        plan = queries.program(self._parts.database.connection, best.id)["plan"]
        self._waiting.extend(Part(donor) for donor in plan["donors"] if donor != BASE)
        self._target, self._again = best.id, bool(self._waiting)

    def _second_round(self) -> None:
        """Begins once the whole first one has ended."""
        rows = self._rows()
        if not all(row.state in FINISHED for row in rows):
            return
        self._again = False
        scored = [(row.score, row.note["donor"]) for row in rows if row.score is not None]
        if scored:
            self._waiting.extend(Part(min(scored)[1], place) for place in PLACES if place)

    def _asked(self, part: Part) -> Ask:
        assert self._target is not None, "only a target has variants"
        row = self._parts.database.program(self._target)
        return Ask(
            ABLATION,
            without(row.source or "", part),
            description=part.label,
            patch=ABLATION,
            island=row.island,
            parent=row.id,
            note={"donor": part.donor, "place": part.place},
        )


def importance(connection: sqlite3.Connection, program_id: int) -> tuple[str, ...]:
    """What each part of a program is worth, a line each, the most important first; empty where none was measured.

    Where the program itself has no variants, those of its nearest ancestor that has some, named at the start of each
    line. Differences are of maximised scores, with 95 % intervals over the items where there are any.
    """
    line = [program_id, *(row["id"] for row in reversed(queries.ancestors(connection, program_id)))]
    for number in line:
        rows = [row for row in recall.ablations(connection, number) if row.score is not None]
        if rows:
            prefix = "" if number == program_id else f"ancestor #{number} "
            whole = queries.outcomes(connection, number)
            score = next(row["score"] for row in queries.evaluations(connection, number) if row["split"] == "search")
            rows.sort(key=lambda row: (row.score or 0.0, row.id))
            return tuple(prefix + _line(connection, row, score, whole) for row in rows)
    return ()


def _line(connection: sqlite3.Connection, row: recall.Ablated, score: float, whole: Sequence[float]) -> str:
    assert row.score is not None, "only evaluated variants have a line"
    if not whole or len(whole) != len(row.outcomes):
        return f"{row.description}: {row.score - score:+.4g}"
    found = split_compare(connection, "search", range(len(whole)), row.outcomes, whole)
    return (
        f"{row.description}: {found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] "
        f"({found.lost} items lost, {found.won} won)"
    )
