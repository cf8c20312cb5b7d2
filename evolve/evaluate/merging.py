"""The worker's side of merge problems: one live model, overwritten by plan after plan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from evolve.donor_statistics import StatisticsSpec
from evolve.donors.device import compute_device
from evolve.donors.donors import load_donors
from evolve.donors.statistics import DonorStatistics
from evolve.errors import CandidateError, ProblemError, UsageError
from evolve.evaluate.candidate import MergeCandidate
from evolve.evaluate.evaluator import Evaluator, Judged
from evolve.evaluate.splits import Splits
from evolve.merge.export import export
from evolve.merge.model import LiveModel
from evolve.merge.provenance import Provenance
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
        device = compute_device(str(setup.get("device", "cpu")), "--set evaluation.device=")
        donors = load_donors(
            setup["donors"], device, vocabulary=setup.get("vocabulary", "reference"), tokens=setup.get("tokens")
        )
        self._live = LiveModel(donors, device, _dtype(str(setup.get("dtype", "auto"))), setup.get("tokenizer"))
        self._notes = list(donors.notes)
        self._prepared: dict[str, tuple[str, ...]] = {}
        if setup.get("statistics"):
            self._open_statistics(StatisticsSpec.from_dict(setup["statistics"]))
        self._provenance = Provenance(donors) if setup.get("provenance") and len(donors) > 1 else None

    def ready(self) -> dict[str, Any]:
        """What the run learns about this worker."""
        donors = self._live.donors
        return {
            "sites": [site.to_dict() for site in donors.sites],
            "donors": {
                name: {**facts, "statistics": list(self._prepared.get(name, ()))}
                for name, facts in donors.summary().items()
            },
            "notes": self._notes,
            "device": str(self._live.device),
            "dtype": str(self._live.dtype).removeprefix("torch."),
            "items": self._splits.counts(),
        }

    def evaluate(self, request: Mapping[str, Any]) -> Judged:
        """The evaluation of a plan, on the search split its provenance too. Raises CandidateError or EvaluatorError."""
        split = str(request["split"])
        started = time.perf_counter()
        plan = self._apply(request)
        merged = time.perf_counter()
        provenance = None
        if self._provenance is not None and split == "search":
            provenance = self._provenance.measure(self._live.model, plan.stack)
        measured = time.perf_counter()
        candidate = MergeCandidate(
            self._live.model, self._live.tokenizer, self._splits.items(split), split, dict(self._settings)
        )
        evaluation = self._evaluator.evaluate(candidate)
        phases = {"merge": merged - started, "evaluate": time.perf_counter() - measured}
        if provenance is not None:
            phases["provenance"] = measured - merged
        return Judged(evaluation, phases, provenance)

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

    def _open_statistics(self, spec: StatisticsSpec) -> None:
        """What is prepared now is what plans may read; texts that cannot be read only mean that nothing is."""
        donors = self._live.donors
        try:
            self._live.statistics = statistics = DonorStatistics(donors, self._live.tokenizer, spec)
        except ProblemError as error:
            self._notes.append(f"no donor statistics: {error}")
            return
        self._prepared = {name: statistics.names(name) for name in donors}

    def _plan(self, request: Mapping[str, Any]) -> Plan:
        plan = Plan.from_dict(request["plan"])
        validate(plan, self._live.sites, self._live.donor_layers, self._limits, statistics=self._prepared)
        return plan

    def _apply(self, request: Mapping[str, Any]) -> Plan:
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
        return plan


def _dtype(name: str) -> torch.dtype | None:
    try:
        return _DTYPES[name]
    except KeyError:
        raise UsageError(f"dtype {name!r} is none of {', '.join(_DTYPES)}") from None
