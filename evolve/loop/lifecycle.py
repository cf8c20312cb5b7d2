"""The life of one proposal: proposed, traced, queued, evaluating, then scored or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evolve.errors import CandidateError, EvolveError, ProposalError
from evolve.evaluation import Evaluation
from evolve.loop.parts import Parts
from evolve.store.records import ProposalState
from evolve.strategies.base import Ask


@dataclass
class Ticket:
    """One proposal on its way; ``number`` orders tickets within this process, ``id`` is its row.

    ``conditions`` say how it is evaluated (rivals of a race), ``work`` what.
    """

    number: int
    id: int
    ask: Ask
    source: str | None = None
    description: str = ""
    patch: str | None = None
    seed_name: str | None = None
    conditions: dict[str, Any] = field(default_factory=dict)
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
    """An evaluation as the worker returned it, score oriented so that larger is better, and what came with it.

    ``stopped``, ``items_total`` and ``note`` are those of ``evolve.evaluate.pool.Result``.
    """

    evaluation: Evaluation
    seconds: float
    phases: dict[str, float]
    provenance: dict[str, Any] | None = None
    stopped: str | None = None
    items_total: int | None = None
    note: str = ""


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


async def evaluate(parts: Parts, work: dict[str, Any], split: str, begin: Callable[[], None] | None = None) -> Scored:
    """One evaluation by a worker; ``begin`` is called when a worker takes it up.

    Raises CandidateError, StageRejected, EvaluatorError or WorkerError.
    """
    result = await parts.pool.evaluate(work, split, timeout_s=parts.config.evaluation.timeout_s, on_start=begin)
    evaluation = result.evaluation
    if parts.problem.sign < 0:
        evaluation = Evaluation.from_dict({**evaluation.to_dict(), "score": -evaluation.score})
    came = (result.provenance, result.stopped, result.items_total, result.note)
    return Scored(evaluation, result.seconds, dict(result.phases), *came)


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
