"""The life of one proposal: proposed, traced, queued, evaluating, then scored or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from evolve.errors import CandidateError, EvolveError, ProposalError, RunError, SandboxCrash, SandboxError
from evolve.evaluate.accident import with_second_try
from evolve.evaluation import Evaluation
from evolve.loop.parts import Parts
from evolve.packed import PackedProvenance
from evolve.sandbox.wire import clean_lines
from evolve.store.records import ProposalState
from evolve.strategies.base import Ask

if TYPE_CHECKING:
    from evolve.plan.plan import Plan

MAX_FEEDBACK_LINES = 200


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
    provenance: PackedProvenance | None = None
    stopped: str | None = None
    items_total: int | None = None
    note: str = ""


class Traced(NamedTuple):
    """What tracing a recipe gave: its plan, as the document that travels on, and its knobs as plain data."""

    plan: Plan
    document: dict[str, Any]
    knobs: list[dict[str, Any]]


async def trace(parts: Parts, source: str) -> Traced:
    """The plan and knobs of a recipe, from the sandbox. Raises CandidateError, RunError where there is no sandbox."""
    request = {
        "source": source,
        "sites": [site.to_dict() for site in parts.sites],
        "donors": parts.donor_infos,
    }
    async with parts.tracing:
        try:
            reply, _ = await asyncio.to_thread(with_second_try, lambda: parts.sandbox.run(request))
        except SandboxError as error:  # no program is at fault
            raise RunError(str(error)) from error
        return await asyncio.to_thread(_checked, parts, reply)


def _checked(parts: Parts, reply: dict[str, Any]) -> Traced:
    """Plan and knobs of a reply that the program may have written itself. Raises InvalidPlan or SandboxCrash."""
    from evolve.plan.plan import Plan
    from evolve.plan.validate import validate
    from evolve.recipe.knobs import read_knobs

    if not isinstance(reply.get("plan"), dict):
        raise SandboxCrash("malformed reply: it holds no plan")
    knobs = read_knobs(reply.get("knobs"))
    statistics = {name: info["statistics"] for name, info in parts.donor_infos.items()}
    # before anything walks it: what an enemy puts together would keep this process busy for days
    plan = Plan.from_dict(reply["plan"])
    validate(plan, parts.sites, parts.donor_layers, statistics=statistics)
    return Traced(plan, reply["plan"], [knob.to_dict() for knob in knobs])


async def evaluate(parts: Parts, work: dict[str, Any], split: str, begin: Callable[[], None] | None = None) -> Scored:
    """One evaluation by a worker; ``begin`` is called when a worker takes it up.

    Raises CandidateError, StageRejected, EvaluatorError or WorkerError, RunError where there are no workers.
    """
    result = await parts.pool.evaluate(work, split, timeout_s=parts.config.evaluation.timeout_s, on_start=begin)
    evaluation = replace(result.evaluation, feedback=clean_lines(result.evaluation.feedback, MAX_FEEDBACK_LINES))
    if parts.problem.sign < 0:
        evaluation = replace(evaluation, score=-evaluation.score)
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
    # an evaluator may quote what the program returned
    parts.database.set_state(ticket.id, state, reason=error.reason, message=clean_lines(str(error)), line=line)
