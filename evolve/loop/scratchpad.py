"""The scratchpad: what the latest edits taught, distilled by a language model and shown in its later prompts."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any

from evolve.loop.asking import asked, writer
from evolve.loop.parts import Parts
from evolve.propose.prompts import scratchpad_prompt
from evolve.propose.reply import normalised
from evolve.store import learning
from evolve.store.learning import Edit, Trouble

PURPOSE = "scratchpad"
BEST, WORST, KINDS = 8, 6, 5
LIMIT = 12
LONGEST = 300
"""Characters of one recommendation, of a description and of a message."""

_ITEM = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+(.*\S)\s*")


class Scratchpad:
    """Asks for new recommendations every ``proposals.scratchpad_every`` evaluations, one call at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._every = parts.config.proposals.scratchpad_every
        newest = learning.scratchpad(parts.database.connection)
        self.text = newest.text if newest is not None else ""
        self._since = newest.created if newest is not None else ""
        self._last = newest.evaluations if newest is not None else 0
        self._asking = False

    def due(self, evaluations: int) -> bool:
        """Whether so many evaluations ask for a new one."""
        return not self._asking and evaluations - self._last >= self._every

    def write(self, evaluations: int) -> Coroutine[Any, Any, None]:
        """One call; what cannot be used leaves the recommendations as they are until the next time."""
        self._asking, self._last = True, evaluations
        return self._write(evaluations)

    async def _write(self, evaluations: int) -> None:
        try:
            began = self._parts.database.now()
            prompt, model = self._prompt(), writer(self._parts.ensemble)
            reply = await asked(self._parts, model, PURPOSE, prompt) if model is not None and prompt else None
            if reply is not None:
                self._keep(recommendations(reply), evaluations, began)
        finally:
            self._asking = False

    def _keep(self, lines: list[str], evaluations: int, began: str) -> None:
        if not lines:
            self._parts.observer.message("no new scratchpad: the reply holds no recommendation")
            return
        self.text = "\n".join(f"- {line}" for line in lines)
        self._since = began
        self._parts.database.add_scratchpad(evaluations, self.text, began)

    def _prompt(self) -> str:
        """The question; empty where nothing has happened since the last one."""
        connection = self._parts.database.connection
        best, worst = learning.edits(connection, self._since, BEST, WORST)
        troubles = learning.troubles(connection, self._since, KINDS)
        if not (best or worst or troubles):
            return ""
        return scratchpad_prompt(
            task=self._parts.problem.task,
            best=[edit_line(edit) for edit in best],
            worst=[edit_line(edit) for edit in worst],
            troubles=[trouble_line(trouble) for trouble in troubles],
            previous=self.text,
            limit=LIMIT,
        )


def edit_line(edit: Edit) -> str:
    """``#12 -> #15 (diff) splits the attention: +0.031, to 0.64 (won 14, lost 5 of 350 items)``."""
    items = f" (won {edit.won}, lost {edit.lost} of {edit.items} items)" if edit.items else ""
    told = _line(edit.description) or "no description"
    return f"#{edit.parent} -> #{edit.id} ({edit.patch}) {told}: {edit.gain:+.6g}, to {edit.score:.6g}{items}"


def trouble_line(trouble: Trouble) -> str:
    """``3 x shape: (2, 3) is not (3, 2)``."""
    return f"{trouble.count} x {trouble.reason}" + (f": {_line(trouble.message)}" if trouble.message else "")


def recommendations(reply: str) -> list[str]:
    """The items of a reply's list, without repeats, at most ``LIMIT``; every line of prose where it is no list."""
    lines = [line for line in normalised(reply).split("\n") if not line.strip().startswith(("```", "~~~"))]
    items = [match.group(1) for line in lines if (match := _ITEM.fullmatch(line))] or lines
    return list(dict.fromkeys(filter(None, map(_line, items))))[:LIMIT]


def _line(text: str) -> str:
    """One line without control characters, shortened."""
    told = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"
