"""What goes to a language model and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from evolve.llm.embedding import Embedding
from evolve.llm.models import ModelConfig


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str

    def to_dict(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Answer:
    """A backend's reply; ``cost_usd`` is what the backend itself knows about the price, None when it knows nothing."""

    text: str
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: float | None
    model: str


@dataclass(frozen=True)
class Completion:
    """A finished call. ``seconds`` covers all ``attempts`` and the waits between them; ``cost_usd`` None is unknown."""

    text: str
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: float | None
    seconds: float
    model: str
    attempts: int = 1


class Backend(Protocol):
    """One way to reach a service. ``ask`` and ``embed`` make exactly one HTTP call, raise whatever their library
    raises, and are safe to await several times at once; ``aclose`` frees its connections."""

    async def ask(self, config: ModelConfig, messages: list[Message], temperature: float | None) -> Answer: ...

    async def embed(self, config: ModelConfig, text: str) -> Embedding: ...

    async def aclose(self) -> None: ...
