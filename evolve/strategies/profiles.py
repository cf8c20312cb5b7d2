"""The numeric search beside the structures: how much of every expert goes into every place of the model."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from evolve.gaussian import Vector
from evolve.propose.mutator.literals import knob_values
from evolve.propose.mutator.schedule import AT_PLACE, MAX_ANCHORS
from evolve.propose.mutator.weights import NewKnob
from evolve.search.trust_region import TrustRegion
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.templates import recipe
from evolve.strategies.tuning import PATCH, Tunable

NAME = "profiles"
LOW, HIGH = -0.5, 1.5
START = 0.5
SIGMA = 1 / 6
SHARED = 4
"""Results for each entry, of a round's first, in which items that few points solve count more."""

FINE = ("attention", "norm")
"""Blocks that get tables of their own once the tables of whole layers are exhausted."""


class Profiles:
    """A recipe that joins all experts with a table of amounts each, whose entries a trust region searches.

    The tables have an entry for the embedding, one for each layer (at most ``MAX_ANCHORS``, linear between them) and
    one for the head. Once nothing is left to gain, attention and norms get tables of their own, which start from all
    that is known; after that another round begins, which knows nothing of the ones before. Telling it all of its
    results again restores it.
    """

    def __init__(self, setting: Setting) -> None:
        """Needs a merge with at least one expert, see ``fits``."""
        self._seed = setting.seed
        blocks = [tuple(block for block in FINE if block in setting.blocks)]
        self._programs = [Tunable(_text(setting, fine)) for fine in [(), *filter(None, blocks)]]
        self._round = -1
        self._renew()

    @staticmethod
    def fits(setting: Setting) -> bool:
        """Whether there is something to join."""
        return setting.kind == "merge" and bool(setting.experts)

    def _renew(self) -> None:
        """Begins the next round."""
        self._round += 1
        self._level = 0
        self._results: list[tuple[Vector, float | None]] = []
        self._members: set[int] = set()
        self._parent: int | None = None
        self._search = self._begun()

    def _refine(self) -> None:
        """Goes on with finer tables, in which every known point has its place."""
        coarse, fine = self._programs[self._level : self._level + 2]
        self._results = [(_refined(coarse, fine, point), score) for point, score in self._results]
        self._level += 1
        self._search = self._begun()

    def _begun(self) -> TrustRegion:
        start = self._programs[self._level].space.here()
        seed = zlib.crc32(f"{self._seed} {self._round} {self._level}".encode())
        if not self._results:
            return TrustRegion(start, SIGMA, seed, shared=SHARED * (len(start) + 1))
        search = TrustRegion(start, SIGMA, seed, 0)
        for point, score in self._results:
            search.inform(point, score)
        return search

    @property
    def opening(self) -> bool:
        """Whether first points of the first round, which are spread over all amounts, are left to ask for."""
        return self._round == 0 and self._search.opening

    def ask(self, island: int) -> Ask:
        """The next point as a recipe."""
        point = self._search.ask()
        source, description = self._programs[self._level].written(point)
        return Ask(
            NAME, source, description=description or "amounts of all experts in all places", patch=PATCH, island=island,
            parent=self._parent, note={"round": self._round, "level": self._level, "point": point.tolist()},
        )  # fmt: skip

    def tell(self, told: Told) -> None:
        """A result; of other proposals those teach that differ from the recipe in its numbers alone."""
        if told.arm != NAME or "point" not in told.note:
            self._learn(told)
            return
        while told.note["round"] > self._round:
            self._renew()
        if told.note["round"] < self._round:
            return  # asked for before this round began
        while told.note["level"] > self._level:
            self._refine()
        point = np.array(told.note["point"], dtype=np.float64)
        for level in range(told.note["level"], self._level):  # asked for before the tables became finer
            point = _refined(self._programs[level], self._programs[level + 1], point)
        if told.state == "duplicate":
            self._search.repeated(point)
        else:
            self._keep(told, point)
            self._search.tell(point, told.score, told.outcomes)
        if self._search.stopped:  # not with the next ask: what is told in between would then be told to another search
            self._advance()

    def _advance(self) -> None:
        if self._level + 1 < len(self._programs):
            self._refine()
        else:
            self._renew()

    def _learn(self, told: Told) -> None:
        program = self._programs[self._level]
        if told.source is None or told.score is None or not told.used or program.space.knobs[0].name not in told.source:
            return
        if self._round and told.parent not in self._members:
            return  # it would lead this round to where an earlier one ended
        point = program.space.point(knob_values(told.source))
        if point is not None and program.written(point)[0] == told.source:
            self._keep(told, point)
            self._search.inform(point, told.score, told.outcomes)

    def _keep(self, told: Told, point: Vector) -> None:
        """Remembers a result before the search is told of it."""
        best = self._search.best
        if told.score is not None and told.whole and (best is None or told.score > best[1]):
            self._parent = told.id
        self._members.add(told.id)
        self._results.append((point, told.score))


def _refined(coarse: Tunable, fine: Tunable, point: Vector) -> Vector:
    """The point of the finer program that computes the same."""
    known = coarse.space.values(point)
    values: dict[str, tuple[float, ...]] = dict(known)
    for knob in fine.space.knobs:
        if knob.name not in known:
            whole = known[_whole(knob.name)]
            values[knob.name] = whole[1:-1]
    found = fine.space.point(values)
    assert found is not None, "every table has its place"
    return found


def _whole(name: str) -> str:
    """The table of whole layers that a finer one is cut from."""
    return name.removesuffix("_by_layer").rpartition("_")[0] + "_weight_by_layer"


def _text(setting: Setting, fine: Sequence[str]) -> str:
    """The recipe with every amount at the start; ``fine`` are the blocks with tables of their own."""
    experts, base, anchors = setting.experts, setting.base, min(setting.layers, MAX_ANCHORS)
    start = START if base is not None else round(1 / len(experts), 3)
    tables: dict[str, Mapping[str, NewKnob]] = {
        expert: {
            block: NewKnob(
                f"{expert}_{block or 'weight'}_by_layer", [start] * (anchors + (0 if block else 2)), LOW, HIGH, True
            )
            for block in ("", *fine)
        }
        for expert in experts
    }
    knobs = "".join(knob.text for found in tables.values() for knob in found.values())
    helpers = AT_PLACE + (f"\n\n{AT_BLOCK}" if fine else "")
    lines = []
    for expert, found in tables.items():
        cases = ", ".join(f"{block}={found[block].name}" for block in fine)
        amount = f"at_block(site, {found[''].name}, {cases})" if fine else f"at_place({found[''].name}, site)"
        lines.append(f"{expert}_weight = {amount}")
    weights = ", ".join(f"{expert}_weight" for expert in experts)
    if base is None:
        method, head, call = "linear", "", f"linear([{', '.join(experts)}], [{weights}], normalize=False)"
    else:
        method, head = "task_arithmetic", f"{base}, "
        call = f"task_arithmetic({base}, [{', '.join(experts)}], [{weights}])"
    merge = "\n    ".join(
        [
            f"def merge(site, {head}{', '.join(experts)}):",
            '"""All experts, each with an amount that depends on the place."""',
            *lines,
            f"return {call}",
        ]
    )
    summary = "All experts, with amounts of their own in every place."
    return recipe(summary, [method], f"{knobs}\n\n{helpers}\n\n{merge}")


AT_BLOCK = '''\
def at_block(site, whole, **tables):
    """``at_place`` of the table of the site's block, which has no embedding and no head; else of the whole one's."""
    table = tables.get(site.block) if site.layer is not None else None
    return at_place(whole if table is None else [whole[0], *table, whole[-1]], site)
'''
