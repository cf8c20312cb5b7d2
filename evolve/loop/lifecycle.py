"""The life of one proposal: proposed, traced, queued, evaluating, then scored or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evolve.errors import CandidateError, EvolveError, ProposalError, RunError
from evolve.evaluation import Evaluation
from evolve.loop.parts import Parts
from evolve.propose.base import Proposal, calls_of
from evolve.search.digest import source_digest
from evolve.store.records import LlmCall, ProposalState
from evolve.strategies.base import Ask


@dataclass
class Ticket:
    """One proposal on its way; ``number`` orders tickets within this process, ``id`` is its row."""

    number: int
    id: int
    ask: Ask
    source: str | None = None
    description: str = ""
    patch: str | None = None
    seed_name: str | None = None
    work: dict[str, Any] = field(default_factory=dict)
    evaluating: bool = False


class Duplicate(EvolveError):
    """The program, or its plan, has been here before."""

    def __init__(self, message: str, reason: str, original: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.original = original


@dataclass(frozen=True)
class Scored:
    """An evaluation as the worker returned it, score oriented so that larger is better, and what came with it."""

    evaluation: Evaluation
    seconds: float
    phases: dict[str, float]
    provenance: dict[str, Any] | None = None


async def prepare(parts: Parts, ticket: Ticket) -> None:
    """Brings a ticket to ``traced``: obtains its source, traces it, rejects what was seen before.

    Afterwards ``ticket.work`` is what a worker evaluates. Raises ProposalError, CandidateError or Duplicate.
    """
    if ticket.source is None:
        proposal = await _propose(parts, ticket)
        ticket.source, ticket.description, ticket.patch = proposal.source, proposal.description, proposal.patch
    digest = source_digest(ticket.source)
    earlier = parts.database.set_source(ticket.id, ticket.source, digest, ticket.description, ticket.patch)
    if earlier is not None:
        raise Duplicate(f"same program as #{earlier.program_id}", "duplicate_source", earlier.program_id)
    if parts.problem.kind == "program":
        ticket.work = {"source": ticket.source}
        return
    plan, knobs = await trace(parts, ticket.source)
    digest = await asyncio.to_thread(_digest, plan)
    twin = parts.database.set_traced(ticket.id, json.dumps(plan, separators=(",", ":")), digest, knobs)
    if twin is not None:
        raise Duplicate(f"same plan as #{twin.program_id}", "duplicate_plan", twin.program_id)
    ticket.work = {"plan": plan}


async def trace(parts: Parts, source: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plan and knobs of a recipe, from the sandbox. Raises CandidateError."""
    request = {
        "source": source,
        "sites": [site.to_dict() for site in parts.sites],
        "donors": parts.donor_infos,
    }
    async with parts.tracing:
        reply, _ = await asyncio.to_thread(parts.sandbox.run, request)
    return reply["plan"], reply["knobs"]


async def score(parts: Parts, ticket: Ticket) -> Scored:
    """Brings a prepared ticket through ``queued`` and ``evaluating``. Raises as ``evaluate`` does."""

    def begin() -> None:
        parts.database.set_state(ticket.id, "evaluating")
        ticket.evaluating = True

    parts.database.set_state(ticket.id, "queued")
    return await evaluate(parts, ticket.work, "search", begin)


async def evaluate(parts: Parts, work: dict[str, Any], split: str, begin: Callable[[], None] | None = None) -> Scored:
    """One evaluation by a worker; ``begin`` is called when a worker takes it up.

    Raises CandidateError, EvaluatorError or WorkerError.
    """
    result = await parts.pool.evaluate(work, split, timeout_s=parts.config.evaluation.timeout_s, on_start=begin)
    evaluation = result.evaluation
    if parts.problem.sign < 0:
        evaluation = Evaluation.from_dict({**evaluation.to_dict(), "score": -evaluation.score})
    return Scored(evaluation, result.seconds, dict(result.phases), result.provenance)


async def _propose(parts: Parts, ticket: Ticket) -> Proposal:
    ask = ticket.ask
    if ask.proposer is None or ask.request is None:
        raise RunError(f"proposal {ticket.id} has neither source nor proposer; this is a defect of evolve")
    try:
        proposal = await ask.proposer.propose(ask.request)
    except ProposalError as error:
        _record_calls(parts, ticket.id, calls_of(error))
        raise
    _record_calls(parts, ticket.id, proposal.calls)
    return proposal


def _record_calls(parts: Parts, proposal_id: int, calls: Any) -> None:
    rows = [
        LlmCall(c.provider, c.model, c.prompt, c.reply, c.seconds, c.tokens_in, c.tokens_out, c.cost_usd, c.error)
        for c in calls
    ]
    # also without calls: the proposal is then known to have cost nothing
    parts.database.add_llm_calls(proposal_id, rows)


def _digest(plan: dict[str, Any]) -> str:
    from evolve.plan.plan import Plan

    return Plan.from_dict(plan).digest


def close(parts: Parts, ticket: Ticket, error: EvolveError) -> None:
    """Writes down how a proposal ended that earned no score; a Duplicate names its original."""
    if isinstance(error, Duplicate):
        parts.database.set_state(
            ticket.id, "duplicate", reason=error.reason, message=str(error), duplicate_of=error.original
        )
        return
    state: ProposalState = "rejected" if isinstance(error, ProposalError) else "failed"
    line = error.line if isinstance(error, CandidateError) else None
    parts.database.set_state(ticket.id, state, reason=error.reason, message=str(error), line=line)
