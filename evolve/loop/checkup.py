"""Tries a problem out: seeds twice, a broken program, an endless program."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from evolve.config import RunConfig
from evolve.errors import CandidateError, EvolveError, SandboxTimeout
from evolve.loop import lifecycle
from evolve.loop.observer import Observer
from evolve.loop.parts import Parts
from evolve.loop.start import assembled, fresh
from evolve.problem import Problem

BROKEN = "def broken(:\n    pass\n"
ENDLESS = "while True:\n    pass\n"


@dataclass(frozen=True)
class Finding:
    """One thing that was tried; ``seconds`` of the evaluation where there was one."""

    what: str
    fine: bool
    detail: str
    seconds: float | None = None


async def findings(problem: Problem, config: RunConfig, observer: Observer) -> AsyncIterator[Finding]:
    """Yields what was found, one after the other. Raises EvolveError when the problem cannot be started at all."""
    alone = replace(config, evaluation=replace(config.evaluation, workers=1))
    with tempfile.TemporaryDirectory(prefix="evolve-check-") as scratch:
        intent = fresh(problem, alone, {}, Path(scratch), "check")
        async with assembled(intent, observer) as parts:
            device = parts.pool.info.get("device", "cpu")
            yield Finding("loads", True, f"{problem.kind}, profile {problem.profile_name}, device {device}")
            for name, source in problem.seeds.items():
                yield await _seed(parts, name, source)
            yield await _refused(parts, "broken program", BROKEN, CandidateError)
            yield await _refused(parts, "endless program", ENDLESS, SandboxTimeout)


async def _evaluated(parts: Parts, source: str) -> lifecycle.Scored:
    if parts.problem.kind == "program":
        return await lifecycle.evaluate(parts, {"source": source}, "search")
    traced = await lifecycle.trace(parts, source)
    return await lifecycle.evaluate(parts, {"plan": traced.document}, "search")


async def _seed(parts: Parts, name: str, source: str) -> Finding:
    try:
        first, second = await _evaluated(parts, source), await _evaluated(parts, source)
    except EvolveError as error:
        return Finding(f"seed {name}", False, str(error))
    score = parts.problem.sign * first.evaluation.score
    missing = [axis for axis in parts.problem.manifest.features if axis not in first.evaluation.features]
    if missing:
        return Finding(
            f"seed {name}", False, f"evaluate() returns no feature {missing[0]!r}, which problem.toml declares"
        )
    if first.evaluation.to_dict() != second.evaluation.to_dict():
        other = parts.problem.sign * second.evaluation.score
        return Finding(
            f"seed {name}", False, f"two evaluations differ: score {score!r}, then {other!r}; seed its randomness"
        )
    return Finding(f"seed {name}", True, f"score {score:.6g}, twice the same", first.seconds)


async def _refused(parts: Parts, what: str, source: str, expected: type[CandidateError]) -> Finding:
    try:
        await _evaluated(parts, source)
    except expected as error:
        return Finding(what, True, f"refused: {error}")
    except EvolveError as error:
        return Finding(what, False, f"stopped with an unexpected error: {error}")
    return Finding(what, False, "was evaluated as if it were fine; does evaluate() call the candidate?")
