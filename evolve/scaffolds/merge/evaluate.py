"""Scores a merged model by the probability it gives to the next token of each text."""

from __future__ import annotations

import torch

from evolve.evaluation import Evaluation


def evaluate(candidate) -> Evaluation:  # type: ignore[no-untyped-def]
    outcomes = []
    for item in candidate.items:
        tokens = candidate.tokenizer(item["text"], return_tensors="pt").input_ids.to(
            candidate.model.device
        )  # (1, length)
        with torch.inference_mode():
            logits = candidate.model(tokens).logits.float()  # (1, length, vocabulary)
        chances = logits[0, :-1].softmax(-1).gather(1, tokens[0, 1:, None])
        outcomes.append(float(chances.mean()))
    means = {}
    for kind in ("first", "second"):
        values = [outcome for outcome, item in zip(outcomes, candidate.items, strict=True) if item["kind"] == kind]
        means[kind] = sum(values) / len(values)
    worst = min(zip(outcomes, candidate.items, strict=True), key=lambda pair: pair[0])
    return Evaluation(
        score=sum(outcomes) / len(outcomes),
        metrics=means,
        features=means,
        outcomes=outcomes,
        feedback=f"weakest text ({worst[0]:.3f}): {worst[1]['text'][:60]!r}",
    )
