"""Texts as vectors, from the embedding model of a service."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from evolve.errors import ProviderError
from evolve.llm.models import ModelConfig, token_count


@dataclass(frozen=True)
class Embedding:
    """A text's vector (dimensions,) at length one, and what it cost; ``cost_usd`` None is unknown.

    ``seconds`` covers all ``attempts``.
    """

    vector: tuple[float, ...]
    tokens_in: int | None
    cost_usd: float | None
    model: str
    seconds: float = 0.0
    attempts: int = 1


def embedding_of(reply: Any, config: ModelConfig, cost_usd: float | None) -> Embedding:
    """An embeddings reply of the OpenAI protocol as an Embedding. Raises ProviderError when it holds no vector."""
    data = getattr(reply, "data", None) or [None]
    entry = data[0]
    raw = entry.get("embedding") if isinstance(entry, dict) else getattr(entry, "embedding", None)
    if not isinstance(raw, (list, tuple)) or not raw or not all(isinstance(item, (int, float)) for item in raw):
        raise ProviderError(f"{config.id}: the reply holds no embedding; name a model that serves /embeddings")
    length = math.sqrt(math.fsum(float(item) ** 2 for item in raw))
    if not 0 < length < math.inf:
        raise ProviderError(f"{config.id}: the embedding has length {length}; it cannot be compared")
    counted = token_count(getattr(getattr(reply, "usage", None), "prompt_tokens", None))
    known = config.cost_usd(counted, 0)
    return Embedding(
        tuple(float(item) / length for item in raw),
        counted,
        cost_usd if known is None else known,
        str(getattr(reply, "model", None) or config.served_name),
    )
