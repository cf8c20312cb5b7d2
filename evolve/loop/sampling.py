"""The default strategy: programs of the archive become parents, proposers change them."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from evolve.config import WEIGHTS, nearest
from evolve.errors import UsageError
from evolve.loop.facts import Facts
from evolve.loop.parts import Parts
from evolve.propose.base import Failure, Parent, Proposer
from evolve.search.archive import SCORE
from evolve.search.bandit import RULES, Bandit
from evolve.search.inspirations import inspirations, mate
from evolve.search.samplers import sampler
from evolve.store.tasks import stored_interval
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.credit import TUNING, Credit
from evolve.strategies.division import STRUCTURE, Division
from evolve.strategies.profiles import NAME as PROFILES
from evolve.strategies.profiles import Profiles
from evolve.strategies.tuning import Controller

if TYPE_CHECKING:
    import numpy

PARENTS_KEPT = 512
RELATIVES = 24
FAILED_KEPT = 20


class Evolution:
    """Draws parents, mates and inspirations from the archive and writes the request for a proposer.

    Evaluations are divided between new structures and the numbers of known ones; a bandit chooses who proposes a
    structure.
    """

    def __init__(self, parts: Parts, setting: Setting) -> None:
        self._parts = parts
        self._setting = setting
        self._choose = sampler(parts.config.search.parent_sampler)
        self._known: OrderedDict[int, Parent] = OrderedDict()
        self._bandit = _bandit(parts)
        self._credit = Credit(self._bandit) if self._bandit is not None else None
        search = parts.config.search
        self._profiles = Profiles(setting) if search.profiles and Profiles.fits(setting) else None
        self._controller = Controller(self.parent, parts.config.seed) if search.tuning else None
        self._division = Division()
        self._failed: deque[int] = deque(maxlen=FAILED_KEPT)
        self._facts = Facts(parts, self.parent)

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """Other numbers of a known structure, a change of an elite, or the repair of a failed program."""
        island = int(rng.integers(len(self._parts.archive.islands)))
        return self._numbers(island, rng) or self._structure(island, rng)

    def _numbers(self, island: int, rng: numpy.random.Generator) -> Ask | None:
        sides = {PROFILES: self._profiles, TUNING: self._controller}
        open_sides = [side for side, source in sides.items() if source is not None]
        side = self._division.choose([*open_sides, STRUCTURE], rng) if open_sides else STRUCTURE
        if self._profiles is not None and (side == PROFILES or self._profiles.opening):
            return self._profiles.ask(island)
        if side == TUNING and self._controller is not None:
            return self._controller.next(self._parts.archive.elites())
        return None

    def _structure(self, island: int, rng: numpy.random.Generator) -> Ask:
        parts, setting, proposer = self._parts, self._setting, self._proposer(rng)
        repairs = bool(self._failed) and "fix" in proposer.patches
        repair = repairs and rng.random() < parts.config.search.fix_probability
        material = {"parent": self.parent(self._failed.popleft())} if repair else self._child(island, rng)
        request = setting.request(int(rng.integers(2**63)), patch="fix" if repair else None, **material)
        request = self._facts.added(request, proposer)
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

    def _proposer(self, rng: numpy.random.Generator) -> Proposer:
        ensemble = self._parts.ensemble
        return ensemble[self._bandit.choose(rng, ensemble.names)] if self._bandit is not None else ensemble.choose(rng)

    def tell(self, told: Told) -> None:
        """Credits the arm and remembers programs that failed, for repair."""
        if self._credit is not None:
            self._credit.tell(told)
        self._division.tell(told)
        for numbers in (self._profiles, self._controller):
            if numbers is not None:
                numbers.tell(told)
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
        # Of equals the oldest first: parents come in the order of ids, and sorting keeps it.
        ranked = sorted(archive.parents(), key=SCORE, reverse=True)[:RELATIVES]
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
        connection = self._parts.database.connection
        found = stored_interval(connection, "search", row.score, row.outcomes) if row.score is not None else None
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


def _bandit(parts: Parts) -> Bandit | None:
    """The bandit over the proposers; None where they are drawn by weight. Raises UsageError for an unknown rule."""
    rule, weights = parts.config.search.bandit, {arm.weight for arm in parts.ensemble.arms}
    if rule not in ("auto", WEIGHTS, *RULES):
        raise UsageError(f"unknown search.bandit {rule!r}; {nearest(rule, ('auto', WEIGHTS, *RULES))}")
    if rule == WEIGHTS or (rule == "auto" and len(weights) > 1):
        return None
    return Bandit(parts.ensemble.names, "thompson" if rule == "thompson" else "ucb")
