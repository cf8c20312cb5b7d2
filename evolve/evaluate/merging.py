"""The worker's side of merge problems: one live model, overwritten by plan after plan."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from evolve.donor_statistics import StatisticsSpec
from evolve.donors.device import compute_device
from evolve.donors.donors import load_donors
from evolve.donors.statistics import DonorStatistics
from evolve.errors import CandidateError, OutOfMemory, ProblemError, RunError, UsageError
from evolve.evaluate.candidate import MergeCandidate
from evolve.evaluate.evaluator import Evaluator, Judged
from evolve.evaluate.generation import most_rows
from evolve.evaluate.racing import raced
from evolve.evaluate.splits import Splits
from evolve.memory import is_lack_of_memory
from evolve.merge.export import export
from evolve.merge.model import LiveModel
from evolve.merge.provenance import Provenance
from evolve.plan.plan import Plan
from evolve.plan.validate import PlanLimits, validate
from evolve.racing import Race
from evolve.stages import Stage

_DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}


class MergeService:
    """Evaluates and exports plans. ``setup`` is the worker's first message."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Loads evaluator, splits and donors. Raises EvaluatorError, ProblemError or DonorError."""
        torch.set_num_threads(int(setup.get("threads", 1)))
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        self._splits = Splits(setup.get("splits", {}), setup.get("tasks"))
        self._settings = dict(setup.get("settings", {}))
        self._weights = {name: float(task["weight"]) for name, task in (setup.get("tasks") or {}).items()}
        self._limits = PlanLimits.from_dict(setup.get("limits") or {})
        self._stages = [Stage(**stage) for stage in setup.get("stages", ())]
        self._evaluator = Evaluator(Path(setup["evaluator"]), [stage.name for stage in self._stages])
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
            "batch_rows": most_rows(self._live.device),
        }

    def evaluate(self, request: Mapping[str, Any]) -> Judged:
        """The evaluation of a plan, on the search split its provenance too.

        Raises CandidateError, StageRejected or EvaluatorError.
        """
        split, halved = str(request["split"]), bool(request.get("halved"))
        started = time.perf_counter()
        plan = self._apply(request)
        phases = {"merge": time.perf_counter() - started}
        if request.get("stages") and self._stages:
            with _timed(phases, "stages"):
                self._pass_stages(split, halved)
        provenance = None
        if self._provenance is not None and split == "search":
            with _timed(phases, "provenance"):
                provenance = self._provenance.measure(self._live.model, plan.stack)
        with _timed(phases, "evaluate"):
            if request.get("race") is None:
                return Judged(self._evaluator.evaluate(self._candidate(split, halved=halved)), phases, provenance)
            race, answers = Race.from_dict(request["race"]), dict[tuple[str, Any], Any]()
            found = raced(lambda items: self._evaluator.evaluate(self._candidate(split, items, answers, halved)), race)
        stopped = None if found.whole else "raced"
        return Judged(found.evaluation, phases, provenance, stopped, len(race.order), found.note)

    def export(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a plan's model to ``folder``. Raises CandidateError, UsageError or RunError."""
        self._apply(request)
        folder = Path(request["folder"])
        try:
            export(self._live, folder, str(request.get("card", "")))
        except (OSError, SafetensorError) as error:
            cause = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise RunError(f"{folder} cannot be written: {cause}; check the disk and the permissions") from error
        return {"folder": str(folder)}

    def check_plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The digest of a plan that may be executed. Raises InvalidPlan."""
        return {"digest": self._plan(request).digest}

    def close(self) -> None:
        """Nothing outlives the process."""

    def _pass_stages(self, split: str, halved: bool) -> None:
        for stage in self._stages:
            count = len(self._splits.items(split))
            items = range(min(stage.items or count, count))
            stage.check(self._evaluator.measure(stage.name, self._candidate(split, items, halved=halved)))

    def _candidate(
        self,
        split: str,
        wanted: Sequence[int] | None = None,
        answers: dict[tuple[str, Any], Any] | None = None,
        halved: bool = False,
    ) -> MergeCandidate:
        """The live model with all items of a split, or with some."""
        items = self._splits.items(split, wanted)
        positions = range(len(items)) if wanted is None else wanted
        settings, weights = dict(self._settings), dict(self._weights)
        return MergeCandidate(
            self._live.model, self._live.tokenizer, items, split, settings, answers, weights, positions, halved
        )

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
        except (MemoryError, RuntimeError) as error:
            if not is_lack_of_memory(error):
                raise
            failure = OutOfMemory(
                f"the merge needs more memory than {self._live.device} has; use fewer intermediate tensors or layers",
                kind=type(error).__name__,
            )
        if failure is not None:  # outside the handler, whose traceback keeps the merge's tensors alive
            torch.cuda.empty_cache()
            raise failure
        return plan


@contextmanager
def _timed(phases: dict[str, float], phase: str) -> Iterator[None]:
    """Adds the seconds of the block to ``phases``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        phases[phase] = time.perf_counter() - started


def _dtype(name: str) -> torch.dtype | None:
    try:
        return _DTYPES[name]
    except KeyError:
        raise UsageError(f"dtype {name!r} is none of {', '.join(_DTYPES)}") from None
