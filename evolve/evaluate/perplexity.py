"""How surprising texts are to a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from evolve.errors import CandidateError, UsageError

_ROWS = 16
_LARGEST = 700.0
"""The exponential of more would leave the range of floats."""


def perplexity(model: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """The exponential of the mean negative log probability of a token given those before it, over all texts together.

    The first token of a text has nothing before it and is not counted. Raises UsageError without two tokens in any
    text, CandidateError when the model's numbers are not finite.
    """
    sequences = [ids for ids in tokenizer(list(texts))["input_ids"] if len(ids) > 1] if texts else []
    if not sequences:
        raise UsageError("perplexity() needs at least one text of two tokens")
    # Texts of similar length together: what is padded costs as much as what is not.
    sequences.sort(key=len)
    surprise, tokens = 0.0, 0
    for start in range(0, len(sequences), _ROWS):
        batch = sequences[start : start + _ROWS]
        surprise += _surprise(model, batch)
        tokens += sum(len(ids) - 1 for ids in batch)
    if not math.isfinite(surprise):
        raise CandidateError("the merged model gives probabilities that are NaN or infinite", kind="NotFinite")
    return math.exp(min(surprise / tokens, _LARGEST))


@torch.inference_mode()
def _surprise(model: Any, sequences: Sequence[Sequence[int]]) -> float:
    """The summed negative log probability of all tokens but the first of each sequence."""
    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = True
    ids, mask = ids.to(model.device), mask.to(model.device)
    logits = (
        model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    )  # (rows, width - 1, vocab)
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return float(losses[mask[:, 1:]].double().sum())
