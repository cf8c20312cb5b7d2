"""Numeric tuning of a program's knobs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.errors import UsageError
from evolve.gaussian import Vector
from evolve.propose.base import Parent
from evolve.propose.blocks import find_blocks, has_markers, replace_blocks
from evolve.propose.mutator.literals import find_knobs, set_knobs
from evolve.propose.mutator.offline import parse_block
from evolve.propose.mutator.space import Space, describe
from evolve.search.cma import Cma
from evolve.strategies.base import Ask, Told
from evolve.strategies.credit import TUNING

if TYPE_CHECKING:
    import libcst

    from evolve.search.archive import Program

PATCH = "tune"
SHARED, SINGLE = "shared", "single"
_DRAWS = 30
"""Points drawn until one is a program that was not asked for before."""


class Tunable:
    """A program's text with its knobs as coordinates: those of its EVOLVE-BLOCKs, or all where it has no blocks."""

    def __init__(self, source: str) -> None:
        self.source = source
        texts = [block.text(source) for block in find_blocks(source)] if has_markers(source) else [source]
        self._texts: list[tuple[str, libcst.Module | None]] = [(text, parse_block(text)) for text in texts]
        knobs = {name: knob for _, tree in self._texts if tree is not None for name, knob in find_knobs(tree).items()}
        self.space = Space(tuple(knobs.values()))

    @cached_property
    def wide(self) -> bool:
        """Whether any knob has several entries."""
        return any(len(knob.values) > 1 for knob in self.space.knobs)

    def here(self, shared: bool) -> Vector:
        """The current point: a coordinate per entry, or with ``shared`` one per knob, the mean of its entries."""
        if not shared:
            return self.space.here()
        return np.array([np.mean([knob.range.unit(v) for v in knob.values]) for knob in self.space.knobs])

    def spread(self, point: Vector) -> Vector:
        """The entries at a shared point: each knob's shift moves all of its entries alike, up to their bounds."""
        shift = point - self.here(shared=True)
        return np.asarray(np.clip(self.space.here() + shift[self.space.owners()], 0.0, 1.0))

    def written(self, entries: Vector) -> tuple[str, str]:
        """The text with the knobs of a point in its literals, rounded, and what has changed in words."""
        values = self.space.values(entries)
        texts = [text if tree is None else set_knobs(tree, values).code for text, tree in self._texts]
        source = replace_blocks(self.source, texts) if has_markers(self.source) else texts[0]
        return source, describe("tune", self.space, values)


@dataclass(frozen=True)
class TuningOptions:
    """``sigma``: first standard deviation, as a share of each range; ``population``: 0 for 4 + ⌊3 ln n⌋;
    ``patience``: generations without a better score that end a phase; ``evaluations``: most results of one tuning;
    ``shared``: most of them that wide knobs move as one number."""

    sigma: float = 1 / 6
    population: int = 0
    patience: int = 6
    evaluations: int = 60
    shared: float = 0.4


class Tuning:
    """One CMA-ES tuning of a program's knobs, from its present values.

    Wide knobs (lists of numbers) first move as one shared coordinate each; when that stalls, or has used its share,
    every entry is a coordinate of its own, from the best point found, with half the first sigma. The state follows from
    what was told: notes and scores told again, in the same order, restore it.
    """

    def __init__(self, source: str, score: float, seed: int, options: TuningOptions | None = None) -> None:
        """``score`` is maximised. Raises UsageError when the program has no knob with literal numbers."""
        self._program = Tunable(source)
        if not self._program.space.size:
            raise UsageError(
                'the program has no knobs to tune; write its numbers as knob("name", 0.5, low=0.0, high=1.0)'
            )
        self._options = options or TuningOptions()
        self._seed = seed
        self._known = {source}
        self.best: tuple[str, float] = (source, score)
        self.results = 0
        self._best_entries = self._program.space.here()
        self._exhausted = False
        self._begin(SHARED if self._program.wide else SINGLE)

    def _begin(self, phase: str) -> None:
        sigma, start = self._options.sigma, self._best_entries
        if phase == SHARED:
            start = self._program.here(shared=True)
        elif self._program.wide:
            sigma /= 2
        self.phase = phase
        self._unimproved = 0
        self._cma = Cma(start, sigma, zlib.crc32(f"{self._seed} {phase}".encode()), self._options.population or None)

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected, or its evaluations are used."""
        if self._exhausted or self.results >= self._options.evaluations:
            return True
        return self.phase == SINGLE and self._stalled

    @property
    def _stalled(self) -> bool:
        return self._cma.stopped or self._unimproved >= self._options.patience * self._cma.population

    def ask(self) -> tuple[str, str, dict[str, Any]] | None:
        """The next program's text, what has changed, and the note to tell its score with; None when it has ended."""
        while not self.ended:
            for _ in range(_DRAWS):
                point = self._cma.ask()
                source, description = self._program.written(self._entries(self.phase, point))
                if source not in self._known:
                    self._known.add(source)
                    return source, description, {"phase": self.phase, "point": point.tolist()}
            if self.phase == SINGLE:
                self._exhausted = True
            else:
                self._begin(SINGLE)
        return None

    def tell(self, note: Mapping[str, Any], score: float | None) -> None:
        """The score of a program that was asked for; None where it failed."""
        phase, point = note["phase"], np.array(note["point"], dtype=np.float64)
        if phase == SINGLE and self.phase == SHARED:
            self._begin(SINGLE)  # no shared point was left to ask for in the process that this one continues
        entries = self._entries(phase, point)
        source, _ = self._program.written(entries)
        self._known.add(source)
        self.results += 1
        better = score is not None and score > self.best[1]
        if score is not None and better:
            self.best, self._best_entries = (source, score), entries
        if phase != self.phase:
            return  # asked for before the phase ended
        self._unimproved = 0 if better else self._unimproved + 1
        self._cma.tell(point, score)
        used = self.results >= self._options.shared * self._options.evaluations
        if phase == SHARED and (used or self._stalled):
            self._begin(SINGLE)

    def _entries(self, phase: str, point: Vector) -> Vector:
        return self._program.spread(point) if phase == SHARED else point


class Controller:
    """Tunes one elite after the other: those with knobs that no tuning has touched, best first.

    Telling it all of a run's results again restores it.
    """

    def __init__(self, read: Callable[[int], Parent], seed: int, options: TuningOptions | None = None) -> None:
        """``read`` gives a program by its number; ``seed`` is the run's."""
        self._read = read
        self._seed = seed
        self._options = options
        self._touched: set[int] = set()
        self._target: int | None = None
        self._tuning: Tuning | None = None

    def next(self, elites: Iterable[Program]) -> Ask | None:
        """A proposal that tunes an elite, or None where there is none to tune."""
        held = {elite.id: elite for elite in elites}
        asked = self._tuning.ask() if self._tuning is not None else None
        while asked is None:
            waiting = [elite for elite in held.values() if elite.id not in self._touched]
            if not waiting:
                return None
            self._take(max(waiting, key=lambda elite: (elite.score, -elite.id)).id)
            asked = self._tuning.ask() if self._tuning is not None else None
        assert self._target is not None, "there is a tuning"
        source, description, note = asked
        elite = held.get(self._target)
        return Ask(
            TUNING, source, description=description, patch=PATCH, island=elite.island if elite else 0,
            parent=self._target, note={"target": self._target, **note},
        )  # fmt: skip

    def _take(self, target: int) -> None:
        self._touched.add(target)
        self._target, self._tuning = target, None
        parent = self._read(target)
        if parent.score is None or not Tunable(parent.source).space.size:
            return
        seed = zlib.crc32(f"{self._seed} {target}".encode())
        self._tuning = Tuning(parent.source, parent.score, seed, self._options)

    def tell(self, told: Told) -> None:
        """Every result of the run; those of other proposals are passed over."""
        if told.arm != TUNING or "target" not in told.note:
            return
        if told.archived:  # what holds no cell is never asked for; a long run has many of them
            self._touched.add(told.id)
        if told.note["target"] != self._target and told.note["target"] not in self._touched:
            self._take(told.note["target"])
        if self._tuning is not None and told.note["target"] == self._target:
            self._tuning.tell(told.note, told.score)
