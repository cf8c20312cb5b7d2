"""The worker's side of merge problems: one live model, overwritten by plan after plan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from evolve.errors import CandidateError, UsageError
from evolve.evaluate.candidate import MergeCandidate
from evolve.evaluate.evaluator import Evaluator
from evolve.evaluate.splits import Splits
from evolve.evaluation import Evaluation
from evolve.merge.donors import load_donors
from evolve.merge.export import export
from evolve.merge.model import LiveModel
from evolve.plan.plan import Plan
from evolve.plan.validate import PlanLimits, validate

_DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}


class MergeService:
    """Evaluates and exports plans. ``setup`` is the worker's first message."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Loads evaluator, splits and donors. Raises EvaluatorError, ProblemError or DonorError."""
        torch.set_num_threads(int(setup.get("threads", 1)))
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        self._splits = Splits(setup.get("splits", {}))
        self._settings = dict(setup.get("settings", {}))
        self._limits = PlanLimits.from_dict(setup.get("limits") or {})
        self._evaluator = Evaluator(Path(setup["evaluator"]))
        device = _device(str(setup.get("device", "cpu")))
        donors = load_donors(setup["donors"], device)
        self._live = LiveModel(donors, device, _dtype(str(setup.get("dtype", "auto"))), setup.get("tokenizer"))

    def ready(self) -> dict[str, Any]:
        """What the run learns about this worker."""
        donors = self._live.donors
        return {
            "sites": [site.to_dict() for site in donors.sites],
            "donors": donors.summary(),
            "notes": list(donors.notes),
            "device": str(self._live.device),
            "dtype": str(self._live.dtype).removeprefix("torch."),
            "items": self._splits.counts(),
        }

    def evaluate(self, request: Mapping[str, Any]) -> tuple[Evaluation, dict[str, float]]:
        """The evaluation of a plan and the seconds spent in each phase. Raises CandidateError or EvaluatorError."""
        started = time.perf_counter()
        self._apply(request)
        merged = time.perf_counter()
        split = str(request["split"])
        candidate = MergeCandidate(
            self._live.model, self._live.tokenizer, self._splits.items(split), split, dict(self._settings)
        )
        evaluation = self._evaluator.evaluate(candidate)
        return evaluation, {"merge": merged - started, "evaluate": time.perf_counter() - merged}

    def export(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a plan's model to ``folder``. Raises CandidateError, UsageError or RunError."""
        self._apply(request)
        folder = Path(request["folder"])
        export(self._live, folder, str(request.get("card", "")))
        return {"folder": str(folder)}

    def check_plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The digest of a plan that may be executed. Raises InvalidPlan."""
        return {"digest": self._plan(request).digest}

    def close(self) -> None:
        """Nothing outlives the process."""

    def _plan(self, request: Mapping[str, Any]) -> Plan:
        plan = Plan.from_dict(request["plan"])
        validate(plan, self._live.sites, self._live.donor_layers, self._limits)
        return plan

    def _apply(self, request: Mapping[str, Any]) -> None:
        plan = self._plan(request)
        failure: CandidateError | None = None
        try:
            self._live.apply(plan)
            if self._live.device.type == "cuda":
                torch.cuda.synchronize(self._live.device)
        except torch.OutOfMemoryError as error:
            failure = CandidateError(
                f"the merge needs more memory than {self._live.device} has; use fewer intermediate tensors or layers",
                kind=type(error).__name__,
            )
        if failure is not None:  # outside the handler, whose traceback keeps the merge's tensors alive
            torch.cuda.empty_cache()
            raise failure


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} was asked for, but torch sees no GPU; use --set evaluation.device=cpu")
    return torch.device("cuda:0") if name == "cuda" else device


def _dtype(name: str) -> torch.dtype | None:
    try:
        return _DTYPES[name]
    except KeyError:
        raise UsageError(f"dtype {name!r} is none of {', '.join(_DTYPES)}") from None
