"""Evolution of Thought: an elite's change against its seed, from which a language model takes the principle.

Source: Morris, Jurado and Zutty 2024, "LLM Guided Evolution - The Automation of Models Advancing Models" (GECCO).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING

from evolve.errors import PatchError
from evolve.loop.insights import Insights
from evolve.loop.parts import Parts
from evolve.propose.base import Lesson, Parent
from evolve.propose.blocks import find_blocks
from evolve.store import family

if TYPE_CHECKING:
    import numpy

TEACHERS = 10
"""The best elites, among which one is drawn."""

CONTEXT = 8
MAX_CHANGE = 2200
MAX_LINE = 160


class Lessons:
    """Draws an elite that does better than the seed it descends from."""

    def __init__(self, parts: Parts, parent: Callable[[int], Parent], insights: Insights) -> None:
        """``parent`` gives a stored program as proposers see it."""
        self._parts = parts
        self._parent = parent
        self._insights = insights

    def draw(self, program_id: int, rng: numpy.random.Generator) -> Lesson | None:
        """A lesson for a child of ``program_id``; None where no other elite has bettered its seed."""
        scores = {elite.id: elite.score for elite in self._parts.archive.elites() if elite.id != program_id}
        best = sorted(scores, key=lambda number: (-scores[number], number))[:TEACHERS]
        for place in rng.permutation(len(best)):
            if (found := self._of(best[place])) is not None:
                return found
        return None

    def _of(self, elite_id: int) -> Lesson | None:
        line = family.line(self._parts.database.connection, elite_id)
        seed, elite = line[0], line[-1]
        if seed.score is None or elite.score is None or elite.score <= seed.score:
            return None
        shown = self._parent(elite_id)
        change = difference(self._parent(seed.id).source, shown.source)
        return Lesson(shown, change, self._insights.effect(seed, elite)) if change else None


def difference(before: str, after: str) -> str:
    """The change of the EVOLVE-BLOCKs as a unified diff with wide context, shortened; empty where there is none."""
    try:
        texts = [
            [line for block in find_blocks(source) for line in block.text(source).splitlines()]
            for source in (before, after)
        ]
    except PatchError:
        return ""
    lines = list(difflib.unified_diff(texts[0], texts[1], "seed", "elite", n=CONTEXT, lineterm=""))
    kept, size = list[str](), 0
    for line in (line[:MAX_LINE] for line in lines):
        size += len(line) + 1
        if size > MAX_CHANGE:
            return "\n".join([*kept, f"[... {len(lines) - len(kept)} lines left out ...]"])
        kept.append(line)
    return "\n".join(kept)
