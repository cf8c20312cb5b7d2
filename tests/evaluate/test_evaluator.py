from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evolve.errors import CandidateError, EvaluatorError
from evolve.evaluate.evaluator import Evaluator

CANDIDATE = SimpleNamespace(items=[{"q": 1}, {"q": 2}])


def _evaluator(folder: Path, body: str) -> Evaluator:
    path = folder / "evaluate.py"
    path.write_text(
        "from evolve.errors import CandidateError\nfrom evolve.evaluation import Evaluation\n"
        f"def evaluate(candidate):\n    {body}\n"
    )
    return Evaluator(path)


def test_an_evaluation_passes_through(tmp_path):
    evaluation = _evaluator(tmp_path, "return Evaluation(0.5, outcomes=[1, 0])").evaluate(CANDIDATE)
    assert (evaluation.score, evaluation.outcomes) == (0.5, [1, 0])


def test_a_fault_of_the_candidate_stays_one(tmp_path):
    with pytest.raises(CandidateError, match="circles overlap"):
        _evaluator(tmp_path, "raise CandidateError('circles overlap', line=3)").evaluate(CANDIDATE)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return candidate.items[0]['answer']", r"^evaluate\.py, line 4: KeyError: 'answer'$"),
        ("import sys; sys.exit(3)", r"evaluate\.py, line 4: SystemExit: 3"),
        ("return Evaluation(float('nan'))", r"returned score = nan; return a finite number"),
        ("return Evaluation('high')", r"returned score = 'high'; return a finite number"),
        ("return 0.5", r"evaluate\(\) returned float; return an evolve\.evaluation\.Evaluation"),
        ("return Evaluation(0.5, outcomes=[1])", "returned 1 outcomes for 2 items; return one per item"),
        ("return Evaluation(0.5, feedback=['no'])", "returned feedback .* return text"),
    ],
)
def test_mistakes_of_the_evaluator_name_its_line(tmp_path, body, message):
    with pytest.raises(EvaluatorError, match=message):
        _evaluator(tmp_path, body).evaluate(CANDIDATE)


def test_an_error_inside_a_library_names_the_evaluators_own_line(tmp_path):
    with pytest.raises(EvaluatorError, match=r"^evaluate\.py, line 4: ValueError"):
        _evaluator(tmp_path, "import numpy; numpy.zeros(3).reshape(2, 2)").evaluate(CANDIDATE)


def test_modules_beside_the_evaluator_can_be_imported_when_it_loads_and_later(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_the_evaluator.py").write_text("SCORE = 7.0\n")
    (tmp_path / "needed_later.py").write_text("MORE = 1.0\n")
    path = tmp_path / "evaluate.py"
    path.write_text(
        "from beside_the_evaluator import SCORE\nfrom evolve.evaluation import Evaluation\n"
        "def evaluate(candidate):\n    from needed_later import MORE\n    return Evaluation(SCORE + MORE)\n"
    )
    assert Evaluator(path).evaluate(CANDIDATE).score == 8.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_here\n", r"^evaluate\.py, line 1: ModuleNotFoundError"),
        ("x = 1\ndef evaluate(candidate:\n", r"^evaluate\.py, line 2: SyntaxError"),
        ("evaluate = 3\n", r"defines no function evaluate\(candidate\)"),
        (None, r"evaluate\.py does not exist"),
    ],
)
def test_a_file_that_cannot_be_loaded_names_the_line(tmp_path, text, message):
    path = tmp_path / "evaluate.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EvaluatorError, match=message):
        Evaluator(path)


def test_random_numbers_are_the_same_for_every_candidate(tmp_path):
    body = "import random, numpy; return Evaluation(random.random() + numpy.random.rand())"
    evaluator = _evaluator(tmp_path, body)
    first = evaluator.evaluate(CANDIDATE).score
    random.random()
    np.random.rand()
    assert evaluator.evaluate(CANDIDATE).score == first
