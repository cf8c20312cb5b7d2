"""A problem's ``evaluate.py``: loading it and keeping its mistakes apart from those of candidates."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evolve.errors import CandidateError, EvaluatorError, EvolveError, OutOfMemory, SandboxError
from evolve.evaluation import Evaluation
from evolve.memory import is_lack_of_memory

_MODULE = "evolve_problem_evaluate"


class Judged(NamedTuple):
    """An evaluation, the seconds of each phase, and the merged model's provenance where it was measured.

    Of a raced evaluation ``items_total`` is the number of items of the split, and ``stopped`` says ``raced`` when not
    all of them were answered; ``note`` says why a candidate could not be raced.
    """

    evaluation: Evaluation
    phases: dict[str, float]
    provenance: dict[str, Any] | None = None
    stopped: str | None = None
    items_total: int | None = None
    note: str = ""


class Evaluator:
    """The function ``evaluate(candidate) -> Evaluation`` of a problem."""

    def __init__(self, path: Path, stages: Sequence[str] = ()) -> None:
        """Loads the file, which may import modules beside it. Raises EvaluatorError, also when a stage's function is
        missing."""
        self.path = path
        module = load_module(path, _MODULE, EvaluatorError)
        self._evaluate = getattr(module, "evaluate", None)
        self._stages = {name: getattr(module, f"stage_{name}", None) for name in stages}
        for name, function in (("evaluate", self._evaluate), *((f"stage_{n}", f) for n, f in self._stages.items())):
            if not callable(function):
                raise EvaluatorError(f"{path} defines no function {name}(candidate)")

    def evaluate(self, candidate: Any) -> Evaluation:
        """Judges a candidate, with Python's, numpy's and torch's random numbers seeded alike for each.

        Raises CandidateError as the evaluator raised it, OutOfMemory where memory was refused, SandboxError when
        programs cannot run here, and EvaluatorError for any other exception or a result that is no Evaluation.
        """
        result = self._called(self._evaluate, candidate)
        if not isinstance(result, Evaluation):
            raise EvaluatorError(
                f"{self.path.name}: evaluate() returned {type(result).__name__}; return an evolve.evaluation.Evaluation"
            )
        if not isinstance(result.feedback, str):
            raise EvaluatorError(f"{self.path.name}: evaluate() returned feedback {result.feedback!r:.80}; return text")
        if len(result.outcomes) not in (0, len(candidate.items)):
            raise EvaluatorError(
                f"{self.path.name}: evaluate() returned {len(result.outcomes)} outcomes for {len(candidate.items)} "
                "items; return one per item, in their order, or none"
            )
        return result

    def measure(self, stage: str, candidate: Any) -> float:
        """What ``stage_<name>(candidate)`` returns, as a number that may be infinite. Raises as ``evaluate``."""
        value = self._called(self._stages[stage], candidate)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            raise EvaluatorError(f"{self.path.name}: stage_{stage}() returned {value!r:.80}; return a number")
        return number

    def _called(self, function: Any, candidate: Any) -> Any:
        _seed()
        try:
            return function(candidate)
        except (CandidateError, EvaluatorError, SandboxError):
            raise
        # a process boundary: whatever a problem's code raises is recorded, and the worker lives on
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            if is_lack_of_memory(error):
                raise OutOfMemory(
                    f"{cause(error, self.path)}; the program needs more memory than the worker has"
                ) from None
            raise EvaluatorError(cause(error, self.path)) from error


def load_module(path: Path, name: str, failure: type[EvolveError]) -> Any:
    """Runs a Python file as module ``name``; its folder comes first on the import path from then on.

    Meant for processes that load one such file: its functions may import neighbours when they are called.

    Raises ``failure`` with file and line for whatever goes wrong.
    """
    if not path.is_file():
        raise failure(f"{path} does not exist")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # a process boundary, as above
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise failure(cause(error, path)) from error
    return module


def cause(error: BaseException, path: Path) -> str:
    """One line such as ``evaluate.py, line 12: KeyError: 'answer'``.

    The line is the innermost one in ``path`` or a module beside it that led to the error.
    """
    message = " ".join(str(error).split())[:500]
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{Path(error.filename).name}, line {error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == path.parent]
        place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else path.name
    return f"{place}: {type(error).__name__}: {message}" if message else f"{place}: {type(error).__name__}"


def _seed() -> None:
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
