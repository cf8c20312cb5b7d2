"""The way of a proposal from being asked for to its evaluation, with what may turn it away before."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from evolve.errors import ProposalError, RunError
from evolve.loop import lifecycle
from evolve.loop.asking import records
from evolve.loop.lifecycle import Duplicate, Scored, Ticket
from evolve.loop.novelty import Novelty
from evolve.loop.parts import Parts
from evolve.loop.prediction import prediction_of
from evolve.loop.racing import Racing
from evolve.loop.stages import pass_plan, pass_text
from evolve.propose.base import Proposal, calls_of
from evolve.search.digest import source_digest
from evolve.store.recall import ABLATION


class Passage:
    """Proposed, traced, queued, evaluating: each step writes the proposal's state before the next begins."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stages = parts.problem.stages
        self._racing = Racing(parts)
        self.novelty = Novelty(parts)
        self.prediction = prediction_of(parts)

    async def prepare(self, ticket: Ticket) -> None:
        """Brings a ticket to ``traced``: obtains its source, traces it, turns away what was seen before.

        Afterwards ``ticket.work`` is what a worker evaluates. Raises ProposalError, CandidateError or Duplicate.
        """
        if ticket.source is None:
            proposal = await self._propose(ticket)
            ticket.source, ticket.description, ticket.patch = proposal.source, proposal.description, proposal.patch
        else:
            self._record_calls(ticket.id, ())
        parts, digest = self._parts, source_digest(ticket.source)
        earlier = parts.database.set_source(ticket.id, ticket.source, digest, ticket.description, ticket.patch)
        if earlier is not None:
            raise Duplicate(f"same program as #{earlier.program_id}", "duplicate_source", earlier.program_id)
        if ticket.seed_name is None:
            pass_text(self._stages, ticket.source)
        ticket.work = await self._traced(ticket) if parts.problem.kind == "merge" else {"source": ticket.source}
        await self.novelty.check(ticket)

    async def _traced(self, ticket: Ticket) -> dict[str, Any]:
        parts, source = self._parts, ticket.source or ""
        traced, plan, knobs = await lifecycle.trace(parts, source)
        digest = await asyncio.to_thread(lambda: traced.digest)
        twin = parts.database.set_traced(ticket.id, json.dumps(plan, separators=(",", ":")), digest, knobs)
        if twin is not None:
            raise Duplicate(f"same plan as #{twin.program_id}", "duplicate_plan", twin.program_id)
        if ticket.seed_name is None:
            pass_plan(self._stages, plan)
        if self.prediction is not None:
            self.prediction.expect(ticket.id, plan, knobs)
        return {"plan": plan}

    def conditions(self, ticket: Ticket) -> dict[str, Any]:
        """The rival of its race as it is now; seeds and ablations are evaluated in the same batches, but whole."""
        whole = ticket.seed_name is not None or ticket.ask.patch == ABLATION
        return self._racing.request(whole)

    async def score(self, ticket: Ticket) -> Scored:
        """Brings a prepared ticket through ``queued`` and ``evaluating``. Raises as ``lifecycle.evaluate`` does."""
        database, seed = self._parts.database, ticket.seed_name is not None

        def begin() -> None:
            database.set_state(ticket.id, "evaluating")
            ticket.evaluating = True

        database.set_state(ticket.id, "queued")
        work = {**ticket.work, **ticket.conditions}
        if self._stages and not seed:
            work["stages"] = True
        scored = await lifecycle.evaluate(self._parts, work, "search", begin)
        self._racing.remark(scored.note)
        return scored

    async def _propose(self, ticket: Ticket) -> Proposal:
        ask, proposer = ticket.ask, ticket.ask.proposer
        if proposer is None or ask.request is None:
            raise RunError(f"proposal {ticket.id} has neither source nor proposer; this is a defect of evolve")
        try:
            if self.prediction is not None:
                proposal = await self.prediction.propose(proposer, ask.request)
            else:
                proposal = await proposer.propose(ask.request)
        except ProposalError as error:
            self._record_calls(ticket.id, calls_of(error))
            raise
        self._record_calls(ticket.id, proposal.calls)
        return proposal

    def _record_calls(self, proposal_id: int, calls: Any) -> None:
        # also without calls: the proposal is then known to have cost nothing
        self._parts.database.add_llm_calls(proposal_id, records(calls, "proposal"))
