"""A problem's ``evaluate.py``: loading it and keeping its mistakes apart from those of candidates."""

from __future__ import annotations

import importlib.util
import random
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from evolve.errors import CandidateError, EvaluatorError, EvolveError, SandboxError
from evolve.evaluation import Evaluation

_MODULE = "evolve_problem_evaluate"


class Judged(NamedTuple):
    """An evaluation, the seconds of each phase, and the merged model's provenance where it was measured."""

    evaluation: Evaluation
    phases: dict[str, float]
    provenance: dict[str, Any] | None = None


class Evaluator:
    """The function ``evaluate(candidate) -> Evaluation`` of a problem."""

    def __init__(self, path: Path) -> None:
        """Loads the file, which may import modules beside it. Raises EvaluatorError."""
        self.path = path
        module = load_module(path, _MODULE, EvaluatorError)
        self._evaluate = getattr(module, "evaluate", None)
        if not callable(self._evaluate):
            raise EvaluatorError(f"{path} defines no function evaluate(candidate)")

    def evaluate(self, candidate: Any) -> Evaluation:
        """Judges a candidate, with Python's, numpy's and torch's random numbers seeded alike for each.

        Raises CandidateError as the evaluator raised it, SandboxError when programs cannot run here, and EvaluatorError
        for any other exception or a result that is no Evaluation.
        """
        _seed()
        try:
            result = self._evaluate(candidate)  # type: ignore[misc]
        except (CandidateError, EvaluatorError, SandboxError):
            raise
        # a process boundary: whatever a problem's code raises is recorded, and the worker lives on
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            raise EvaluatorError(cause(error, self.path)) from error
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
