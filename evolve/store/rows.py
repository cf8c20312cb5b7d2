"""Records as rows of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from evolve.evaluation import Evaluation
from evolve.packed import compress
from evolve.store import outcomes
from evolve.store.encoding import to_json
from evolve.store.records import LlmCall, ProposalRequest


@cache
def insertion(table: str, columns: tuple[str, ...], *, ignore: bool) -> str:
    """The statement that inserts values for these columns; ``ignore`` leaves a row alone that is there already."""
    verb = "INSERT OR IGNORE" if ignore else "INSERT"
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def of_request(request: ProposalRequest) -> dict[str, Any]:
    """A row of ``proposals`` without its times; the inspirations have a table of their own."""
    return {
        "island": request.island,
        "generation": request.generation,
        "patch": request.patch,
        "proposer": request.proposer,
        "parent_id": request.parent_id,
        "mate_id": request.mate_id,
        "description": request.description,
        "seed_name": request.seed_name,
        "note": to_json(dict(request.note)),
        "prompt_id": request.prompt_id,
    }


def of_evaluation(
    evaluation: Evaluation,
    split: str,
    seconds: float,
    phases: Mapping[str, float],
    stopped: str | None = None,
    items_total: int | None = None,
) -> dict[str, Any]:
    """A row of ``evaluations`` without program and time."""
    return {
        "split": split,
        "score": float(evaluation.score),
        "metrics": to_json(_plain(evaluation.metrics)),
        "features": to_json(_plain(evaluation.features)),
        "items": len(evaluation.outcomes),
        "outcomes": outcomes.pack(evaluation.outcomes),
        "feedback": evaluation.feedback,
        "seconds": seconds,
        "phases": to_json(dict(phases)),
        "stopped": stopped,
        "items_total": items_total,
    }


def _plain(numbers: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in numbers.items()}


def of_call(call: LlmCall) -> dict[str, Any]:
    """A row of ``llm_calls`` without proposal and time."""
    return {
        "purpose": call.purpose,
        "provider": call.provider,
        "model": call.model,
        "prompt": compress(call.prompt),
        "reply": call.reply,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "cost_usd": call.cost_usd,
        "seconds": call.seconds,
        "error": call.error,
    }
