"""The worker's side of ordinary programs: their functions run in the sandbox, the evaluator judges what they return."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve.errors import UsageError
from evolve.evaluate.candidate import ProgramCandidate
from evolve.evaluate.evaluator import Evaluator, Judged
from evolve.evaluate.splits import Splits
from evolve.sandbox import SandboxLimits, program_sandbox


class ProgramService:
    """Evaluates programs. ``setup`` is the worker's first message."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Loads evaluator and splits and starts the sandbox. Raises EvaluatorError, ProblemError or SandboxError."""
        self._splits = Splits(setup.get("splits", {}))
        self._settings = dict(setup.get("settings", {}))
        self._evaluator = Evaluator(Path(setup["evaluator"]))
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
        """The evaluation of a source and the seconds it took. Raises CandidateError or EvaluatorError."""
        started = time.perf_counter()
        split = str(request["split"])
        candidate = ProgramCandidate(
            str(request["source"]), self._splits.items(split), split, dict(self._settings), self._sandbox
        )
        try:
            evaluation = self._evaluator.evaluate(candidate)
        finally:
            candidate.close()
        return Judged(evaluation, {"evaluate": time.perf_counter() - started})

    def export(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Programs have no checkpoint."""
        raise UsageError("only merge problems can be exported as a model; copy the program's source instead")

    def check_plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Programs have no plan."""
        raise UsageError("only merge problems have plans")

    def close(self) -> None:
        """Ends the sandbox."""
        self._sandbox.close()
