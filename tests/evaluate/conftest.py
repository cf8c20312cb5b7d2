"""The miniature models of tests/merge, and problem folders around them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).parent.parent / "merge" / "conftest.py"
_spec = importlib.util.spec_from_file_location("evolve_tests_merge_fixtures", _FILE)
assert _spec is not None and _spec.loader is not None
_merge = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _merge
_spec.loader.exec_module(_merge)

workshop = _merge.workshop
mix = _merge.mix
_own_cache = _merge._own_cache

EVALUATE = """
from evolve.evaluation import Evaluation


def evaluate(candidate):
    prompts = [item["question"] for item in candidate.items]
    answers = candidate.generate(prompts, candidate.settings["tokens"])
    norm = float(candidate.model.model.norm.weight.mean())
    print("answers:", answers)
    return Evaluation(
        score=norm,
        features={"length": sum(map(len, answers)) / len(answers)},
        outcomes=[len(answer) / 10 for answer in answers],
        feedback=" | ".join(answers),
    )
"""


@pytest.fixture
def problem(tmp_path: Path, workshop: Any) -> Callable[..., dict[str, Any]]:
    """``problem(evaluate=source, ...)`` writes a merge problem and returns the worker's first message for it."""

    def make(evaluate: str = EVALUATE, items: Sequence[Any] = ("1+1=", "2+3=", "10"), **changes: Any) -> dict[str, Any]:
        folder = tmp_path / "problem"
        folder.mkdir(exist_ok=True)
        (folder / "evaluate.py").write_text(evaluate)
        search = folder / "search.jsonl"
        search.write_text("".join(json.dumps({"question": item}) + "\n" for item in items))
        setup: dict[str, Any] = {
            "kind": "merge",
            "evaluator": str(folder / "evaluate.py"),
            "donors": {name: str(path) for name, path in workshop.donors("llama", "base", "ja").items()},
            "splits": {"search": str(search)},
            "settings": {"tokens": 6},
            "device": "cpu",
            "dtype": "auto",
            "threads": 1,
        }
        return {**setup, **changes}

    return make
