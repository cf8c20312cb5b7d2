"""The worker's side of ordinary programs: their functions run in the sandbox, the evaluator judges what they return."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from evolve.errors import UsageError
from evolve.evaluate.accident import with_second_try
from evolve.evaluate.candidate import ProgramCandidate
from evolve.evaluate.evaluator import Evaluator, Judged
from evolve.evaluate.splits import Splits
from evolve.sandbox import SandboxLimits, program_sandbox
from evolve.stages import Stage


class ProgramService:
    """Evaluates programs. ``setup`` is the worker's first message."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Loads evaluator and splits and starts the sandbox. Raises EvaluatorError, ProblemError or SandboxError."""
        self._splits = Splits(setup.get("splits", {}), setup.get("tasks"))
        self._settings = dict(setup.get("settings", {}))
        self._weights = {name: float(task["weight"]) for name, task in (setup.get("tasks") or {}).items()}
        self._stages = [Stage(**stage) for stage in setup.get("stages", ())]
        self._evaluator = Evaluator(Path(setup["evaluator"]), [stage.name for stage in self._stages])
        self._sandbox = program_sandbox(SandboxLimits(**setup.get("sandbox", {}))).__enter__()

    def ready(self) -> dict[str, Any]:
        """What the run learns about this worker."""
        return {
            "sites": [],
            "donors": {},
            "notes": [],
            "device": "cpu",
            "items": self._splits.counts(),
            "sandbox": self._sandbox.level.describe(),
        }

    def evaluate(self, request: Mapping[str, Any]) -> Judged:
        """The evaluation of a source. Raises CandidateError, StageRejected or EvaluatorError."""
        return with_second_try(lambda: self._judged(request))

    def _judged(self, request: Mapping[str, Any]) -> Judged:
        started = time.perf_counter()
        for stage in self._stages if request.get("stages") else ():
            with closing(self._candidate(request, stage.items or None)) as candidate:
                stage.check(self._evaluator.measure(stage.name, candidate))
        with closing(self._candidate(request)) as candidate:
            evaluation = self._evaluator.evaluate(candidate)
        return Judged(evaluation, {"evaluate": time.perf_counter() - started})

    def _candidate(self, request: Mapping[str, Any], items: int | None = None) -> ProgramCandidate:
        """A program that has not been called yet, with the first items of the split or with all."""
        split = str(request["split"])
        found = self._splits.items(split)[:items]
        settings, weights = dict(self._settings), dict(self._weights)
        return ProgramCandidate(str(request["source"]), found, split, settings, self._sandbox, weights)

    def export(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Programs have no checkpoint."""
        raise UsageError("only merge problems can be exported as a model; copy the program's source instead")

    def check_plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Programs have no plan."""
        raise UsageError("only merge problems have plans")

    def close(self) -> None:
        """Ends the sandbox."""
        self._sandbox.close()
