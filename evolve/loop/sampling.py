"""The default strategy: programs of the archive become parents, proposers change them."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from evolve.loop.parts import Parts
from evolve.propose.base import Failure, Parent, ProposalRequest
from evolve.search.inspirations import inspirations, mate
from evolve.search.samplers import sampler
from evolve.statistics import score_interval
from evolve.strategies.base import Ask, Setting, Told

if TYPE_CHECKING:
    import numpy

PARENTS_KEPT = 512
RELATIVES = 24
FAILED_KEPT = 20


class Evolution:
    """Draws parents, mates and inspirations from the archive and writes the request for a proposer."""

    def __init__(self, parts: Parts, setting: Setting) -> None:
        self._parts = parts
        self._setting = setting
        self._choose = sampler(parts.config.search.parent_sampler)
        self._known: OrderedDict[int, Parent] = OrderedDict()
        self._failed: deque[int] = deque(maxlen=FAILED_KEPT)

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """A change of an elite, or the repair of a failed program."""
        parts, setting = self._parts, self._setting
        island = int(rng.integers(len(parts.archive.islands)))
        proposer = parts.ensemble.choose(rng)
        repairs = bool(self._failed) and "fix" in proposer.patches
        repair = repairs and rng.random() < parts.config.search.fix_probability
        material = {"parent": self.parent(self._failed.popleft())} if repair else self._child(island, rng)
        request = ProposalRequest(
            seed=int(rng.integers(2**63)),
            task=setting.task,
            kind=setting.kind,
            donors=tuple(setting.donors),
            roles=setting.roles,
            blocks=setting.blocks,
            layers=setting.layers,
            statistics=setting.statistics,
            patch="fix" if repair else None,
            **material,
        )
        return Ask(
            arm=proposer.name,
            request=request,
            proposer=proposer,
            patch=request.patch or "open",
            island=island,
            parent=int(request.parent.id),
            mate=int(request.mate.id) if request.mate else None,
            inspirations=tuple(int(one.id) for one in request.inspirations),
        )

    def tell(self, told: Told) -> None:
        """Remembers programs that failed, for repair."""
        if told.state in ("failed", "rejected") and told.source is not None:
            self._failed.append(told.id)

    def _child(self, island: int, rng: numpy.random.Generator) -> dict[str, Any]:
        """Parent, mate, inspirations and relatives from the archive."""
        archive = self._parts.archive
        parent = self._choose.choose(archive, island, rng)
        crossing = rng.random() < self._parts.config.search.cross_probability
        partner = mate(archive, parent, rng) if crossing else None
        beside = inspirations(
            archive, parent, island, self._parts.config.search.inspirations, rng, [partner.id] if partner else []
        )
        ranked = sorted(archive.elites(), key=lambda program: (-program.score, program.id))[:RELATIVES]
        return {
            "parent": self.parent(parent.id),
            "mate": self.parent(partner.id) if partner else None,
            "inspirations": tuple(self.parent(program.id) for program in beside),
            "relatives": tuple(self.parent(program.id) for program in ranked if program.id != parent.id),
        }

    def parent(self, number: int) -> Parent:
        """A stored program as proposers see it; the most recent ones are kept in memory."""
        if number not in self._known:
            self._known[number] = self._read(number)
        self._known.move_to_end(number)
        while len(self._known) > PARENTS_KEPT:
            self._known.popitem(last=False)
        return self._known[number]

    def _read(self, number: int) -> Parent:
        row = self._parts.database.program(number)
        found = score_interval(row.score, row.outcomes) if row.score is not None else None
        error = Failure(row.reason, row.message or "", row.line) if row.reason else None
        return Parent(
            id=str(number),
            source=row.source or "",
            score=row.score,
            score_low=found.low if found else None,
            score_high=found.high if found else None,
            metrics=row.metrics,
            features=row.features,
            feedback=row.feedback,
            error=error,
            description=row.description,
        )
