"""The corpus: hostile programs with what they expect, filled in with the canaries of one test.

Each file of ``programs`` is the block of a recipe (``programs/recipes``) or of an ordinary program (all others). Its
line ``# expect: STATE [REASON|REASON...] [KIND|KIND...]`` says how it must be recorded: ``failed`` with the reason of
the database and the exception's type, or ``scored`` with its honest score; ``failed|scored`` where both are harmless.
``# again:`` says the same of a second evaluation (``same``: the score of the first).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).with_name("programs")
RECIPES = "recipes"
TOLERANCE = 1e-4
"""Of scores: zeros are 0.99997 wrong at the point nearest to the sine's top."""

_EXPECT = re.compile(r"^# expect: (.+)$", re.MULTILINE)
_AGAIN = re.compile(r"^# again: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Expectation:
    """Allowed states, and where it failed the allowed reasons and kinds (none: any), where it scored the score."""

    states: frozenset[str]
    reasons: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    score: float | None = None

    @classmethod
    def parse(cls, text: str) -> Expectation:
        states, *rest = text.split()
        sets = [frozenset(part.split("|")) for part in (states, *rest)]
        if states == "scored":
            return cls(sets[0], score=float(rest[0]) if rest else None)
        return cls(*sets)

    def fits(self, outcome: Outcome) -> bool:
        if outcome.state not in self.states:
            return False
        if outcome.state == "scored":
            return self.score is None or abs(outcome.score - self.score) < TOLERANCE
        return outcome.reason in (self.reasons or {outcome.reason}) and outcome.kind in (self.kinds or {outcome.kind})


@dataclass(frozen=True)
class Outcome:
    """What became of a program; ``kind`` is the exception's type, "" where it is not known."""

    state: str
    reason: str = ""
    kind: str = ""
    message: str = ""
    score: float | None = None


@dataclass(frozen=True)
class Hostile:
    """One program of the corpus."""

    name: str
    text: str

    @property
    def kind(self) -> str:
        return "merge" if self.name.startswith(RECIPES) else "program"

    @property
    def expected(self) -> Expectation:
        found = _EXPECT.search(self.text)
        assert found, f"{self.name} says not what is expected of it"
        return Expectation.parse(found[1])

    @property
    def again(self) -> str | None:
        found = _AGAIN.search(self.text)
        return found[1] if found else None

    def block(self, canaries: Mapping[str, str]) -> str:
        """Its text with the places of the canaries filled in."""
        text = self.text
        for name, value in canaries.items():
            text = text.replace(f"@{name}@", value)
        return text


def corpus(kind: str) -> list[Hostile]:
    """Every program of a kind, by name."""
    found = [
        Hostile(path.relative_to(PROGRAMS).with_suffix("").as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PROGRAMS.rglob("*.py"))
    ]
    return [one for one in found if one.kind == kind]
