"""Which program is changed next, by whom, and with what beside it."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from evolve.evaluation import Evaluation
from evolve.loop.lifecycle import Ticket
from evolve.loop.parts import Parts
from evolve.propose.base import Failure, Parent, ProposalRequest, Proposer
from evolve.search.archive import AddStatus, Program
from evolve.search.features import cell_key
from evolve.search.inspirations import inspirations, mate
from evolve.search.islands import Islands, Move
from evolve.search.samplers import sampler
from evolve.statistics import score_interval
from evolve.store import records

if TYPE_CHECKING:
    import numpy

PARENTS_KEPT = 512
RELATIVES = 24


class Sampler:
    """Draws parents, mates and inspirations from the archive and writes the request for a proposer.

    Every random choice of proposal ``n`` comes from a generator seeded with (run seed, n).
    """

    def __init__(self, parts: Parts) -> None:
        search = parts.config.search
        self._parts = parts
        self._choose = sampler(search.parent_sampler)
        evaluations = parts.database.counts().evaluations
        self._islands = Islands(
            parts.archive, search.migration_interval, search.stagnation_evaluations, evaluations=evaluations
        )
        self._known: OrderedDict[int, Parent] = OrderedDict()
        self._task = parts.problem.task
        self._roles = tuple(dict.fromkeys(site.role for site in parts.sites))
        self._blocks = tuple(dict.fromkeys(site.block for site in parts.sites))
        self._layers = 1 + max((site.layer for site in parts.sites if site.layer is not None), default=-1)

        infos = parts.donor_infos.items()
        self._statistics = {name: tuple(info["statistics"]) for name, info in infos if info["statistics"]}

    def ticket(self, number: int, failed: deque[int]) -> Ticket:
        """A new proposal, already a row of the database; may take a failed program from ``failed`` to repair it."""
        parts = self._parts
        rng = self.generator(parts.database.counts().proposals + 1)
        island = int(rng.integers(len(parts.archive.islands)))
        proposer = parts.ensemble.choose(rng)
        repair = bool(failed) and "fix" in proposer.patches and rng.random() < parts.config.search.fix_probability
        material = self._repair(failed) if repair else self._child(island, rng)
        request = ProposalRequest(
            seed=int(rng.integers(2**63)),
            task=self._task,
            kind="merge" if parts.problem.kind == "merge" else "program",
            donors=tuple(parts.donor_layers),
            roles=self._roles,
            blocks=self._blocks,
            layers=self._layers,
            statistics=self._statistics,
            patch="fix" if repair else None,
            **material,
        )
        return self._recorded(number, island, proposer, request)

    def generator(self, number: int) -> numpy.random.Generator:
        """The generator of proposal ``number``."""
        import numpy

        return numpy.random.default_rng([self._parts.config.seed, number])

    def add(self, ticket: Ticket, evaluation: Evaluation) -> tuple[records.ArchiveStatus, list[records.Cell]]:
        """Offers a scored program to the archive; returns what became of it and the cell it took, if any."""
        archive = self._parts.archive
        program = Program(ticket.id, evaluation.score, evaluation.features, ticket.island, outcomes=evaluation.outcomes)  # type: ignore[arg-type]
        status = archive.add(program)
        if status > AddStatus.NOT_ADDED and ticket.parent_id is not None:
            archive.child_archived(ticket.parent_id)
        self._islands.record(ticket.island, evaluation.score)
        return status.word, [self._cell(program, ticket.island)] if status > AddStatus.NOT_ADDED else []

    def move(self, number: int) -> None:
        """Migration and new starts of islands, when they are due after the commit of proposal ``number``."""
        rng = self.generator(-number % 2**32)
        database = self._parts.database
        moves = self._islands.migrate(rng)
        if moves:
            database.put_cells(self._cells(moves))
            database.add_event("migration", {"programs": len(moves)})
        for island, arrived in self._islands.reseed(rng).items():
            database.replace_island(island, self._cells(arrived))
            database.add_event("reseed", {"island": island, "programs": len(arrived)})

    def _cells(self, moves: list[Move]) -> list[records.Cell]:
        return [self._cell(move.program, move.island) for move in moves]

    def _cell(self, program: Program, island: int) -> records.Cell:
        return records.Cell(island, cell_key(self._parts.archive.cell(program)), program.id, program.score)

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

    def _repair(self, failed: deque[int]) -> dict[str, Any]:
        return {"parent": self.parent(failed.popleft())}

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

    def _recorded(self, number: int, island: int, proposer: Proposer, request: ProposalRequest) -> Ticket:
        parent = int(request.parent.id)
        generation = self._parts.database.program(parent).generation + 1
        row = records.ProposalRequest(
            island=island,
            generation=generation,
            patch=request.patch or "open",
            proposer=proposer.name,
            parent_id=parent,
            mate_id=int(request.mate.id) if request.mate else None,
            inspirations=tuple(int(one.id) for one in request.inspirations),
        )
        ticket = Ticket(number, self._parts.database.begin_proposal(row), island, generation, parent)
        ticket.proposer, ticket.request = proposer, request
        self._parts.archive.begin_child(parent)
        return ticket
