"""Judges a merged model on short symbolic tasks: one forward pass, the answer is the likeliest next word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolve.errors import CandidateError
from evolve.evaluation import Evaluation

SHOWN_MISTAKES = 6


def answers(candidate: Any, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The likeliest word after each item's prompt. Raises CandidateError when the model's numbers are not finite."""
    import torch

    model = candidate.model
    # Word by word: the tokenizer that transformers chooses for this architecture splits some words.
    ids = torch.tensor([candidate.tokenizer.convert_tokens_to_ids(item["prompt"].split()) for item in items])
    with torch.inference_mode():
        logits = model(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=1).logits[:, -1]
    if not torch.isfinite(logits).all():
        raise CandidateError("the merged model gives logits that are NaN or infinite", kind="NotFinite")
    words: list[str] = candidate.tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())
    return words


def evaluate(candidate: Any) -> Evaluation:
    """Score = mean over the tasks of the share of right answers; items count equally where tasks have equally many."""
    said = candidate.each("answer", lambda items: answers(candidate, items))
    outcomes = [float(word == item["answer"]) for item, word in zip(candidate.items, said, strict=True)]
    found = Evaluation.over_tasks(candidate.items, outcomes)
    figures = ", ".join(f"{name} {value:.3f}" for name, value in found.metrics.items())
    return Evaluation(
        score=found.score,
        metrics=found.metrics,
        features={
            "front": _mean(found.metrics, "maximum", "shift"),
            "back": _mean(found.metrics, "lookup", "majority"),
        },
        outcomes=outcomes,
        feedback="\n".join([figures, *mistakes(candidate.items, said)]),
    )


def _mean(metrics: Mapping[str, float], *tasks: str) -> float:
    return sum(metrics.get(f"accuracy_{task}", 0.0) for task in tasks) / len(tasks)


def mistakes(items: Sequence[Mapping[str, Any]], said: Sequence[str]) -> list[str]:
    """A line for each of the first wrong answers."""
    wrong = [(item, word) for item, word in zip(items, said, strict=True) if word != item["answer"]]
    return [f"- {item['prompt']} expected {item['answer']}, got {word}" for item, word in wrong[:SHOWN_MISTAKES]]
