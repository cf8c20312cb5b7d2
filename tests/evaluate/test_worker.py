from __future__ import annotations

from evolve.evaluate import frames, worker
from evolve.evaluate.evaluator import Judged
from evolve.evaluation import Evaluation


class _Service:
    def evaluate(self, request):
        return Judged(Evaluation(1.0, feedback="x" * 5000), {"merge": 0.25, "evaluate": 0.5})


def test_an_answer_carries_the_request_number_and_the_seconds():
    answer = worker._answer(_Service(), {"id": 7, "do": "evaluate"})
    assert (answer["id"], answer["seconds"], answer["phases"]) == (7, 0.75, {"merge": 0.25, "evaluate": 0.5})
    assert Evaluation.from_dict(answer["evaluation"]).score == 1.0


def test_an_evaluation_too_large_to_send_is_the_evaluators_fault(monkeypatch):
    monkeypatch.setattr(frames, "LIMIT_BYTES", 1000)
    answer = worker._answer(_Service(), {"id": 7, "do": "evaluate"})
    assert answer["error"]["type"] == "EvaluatorError"
    assert "returned too much: a message of" in answer["error"]["message"]
