"""Which language model is called, how, and at what price."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evolve.config import build
from evolve.errors import AuthenticationFailed, UsageError

BackendName = Literal["litellm", "openai"]
MOST_TOKENS = 10**12
"""In one call; who counts more has not counted."""
_VENDOR_KEYS = {
    "gemini": "GEMINI_API_KEY",
    "vertex_ai": "GOOGLE_APPLICATION_CREDENTIALS",
    "bedrock": "AWS_ACCESS_KEY_ID",
}
_VENDORS_OF_BARE_NAMES = {"claude": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY", "mistral": "MISTRAL_API_KEY"}


@dataclass(frozen=True)
class ModelConfig:
    """One language model.

    ``id`` is the name in ``--llm`` and litellm's model id (``openai/gpt-5-mini``). With ``api_base`` the openai client
    calls that OpenAI-compatible endpoint, which knows the model as ``served_as`` (default: ``id`` without a leading
    ``openai/``). ``api_key_env`` names the environment variable that holds the key. ``temperatures``: one is drawn per
    proposal; empty leaves it to the service. Prices are dollars per million tokens and beat every table; None means
    unknown, 0 means free. ``extra`` is added to the request body as it is.
    """

    id: str
    api_base: str | None = None
    served_as: str | None = None
    api_key_env: str | None = None
    backend: str | None = None
    temperatures: tuple[float, ...] = (0.7, 1.0)
    max_tokens: int = 8192
    price_in_usd: float | None = None
    price_out_usd: float | None = None
    timeout_s: float = 300.0
    max_reply_bytes: int = 2_000_000
    reasoning_effort: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or self.id.isspace():
            raise UsageError("a model needs an id such as 'openai/gpt-5-mini'")
        if self.backend not in (None, "litellm", "openai"):
            raise UsageError(f"model {self.id!r}: backend must be 'litellm' or 'openai', not {self.backend!r}")
        if self.backend == "openai" and not self.api_base:
            raise UsageError(f"model {self.id!r}: backend 'openai' needs api_base, the endpoint's URL ending in /v1")
        for name in ("timeout_s", "max_tokens", "max_reply_bytes"):
            if getattr(self, name) <= 0:
                raise UsageError(f"model {self.id!r}: {name} must be positive, not {getattr(self, name)!r}")
        for name in ("price_in_usd", "price_out_usd"):
            price = getattr(self, name)
            if price is not None and price < 0:
                raise UsageError(f"model {self.id!r}: {name} must not be negative; it is {price!r}")
        if (self.price_in_usd is None) != (self.price_out_usd is None):
            raise UsageError(f"model {self.id!r}: give both price_in_usd and price_out_usd, or neither")

    @classmethod
    def from_table(cls, id: str, table: Mapping[str, Any]) -> ModelConfig:
        """The model of a ``[models."ID"]`` table; ``temperature`` may stand for one entry of ``temperatures``.

        Raises UsageError for an unknown key (naming the nearest) or a value of the wrong type.
        """
        values: dict[str, Any] = {"id": id, **table}
        if "temperature" in values:
            values.setdefault("temperatures", [values.pop("temperature")])
        if isinstance(values.get("temperatures"), list):
            values["temperatures"] = tuple(_temperature(id, item) for item in values["temperatures"])
        return build(cls, values, f'models."{id}"')

    @property
    def backend_name(self) -> BackendName:
        """The client that calls this model."""
        return "openai" if (self.backend or ("openai" if self.api_base else "litellm")) == "openai" else "litellm"

    @property
    def served_name(self) -> str:
        """The name that the service knows the model by."""
        if self.served_as:
            return self.served_as
        return self.id.removeprefix("openai/") if self.backend_name == "openai" else self.id

    @property
    def key_variable(self) -> str:
        """The environment variable that should hold the key; for vendors a guess by their convention."""
        if self.api_key_env:
            return self.api_key_env
        vendor, slash, _ = self.id.partition("/")
        if slash:
            return _VENDOR_KEYS.get(vendor, f"{vendor.upper().replace('-', '_')}_API_KEY")
        return next((key for name, key in _VENDORS_OF_BARE_NAMES.items() if vendor.startswith(name)), "OPENAI_API_KEY")

    def key(self) -> str | None:
        """The key, None where the configuration names no variable; raises AuthenticationFailed when it is unset."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise AuthenticationFailed(f"{self.id}: no key; set the environment variable {self.api_key_env}")
        return key

    def cost_usd(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """The configured price of a call; None where no price is configured or the service did not count tokens."""
        if self.price_in_usd is None or self.price_out_usd is None:
            return None
        if self.price_in_usd == 0 and self.price_out_usd == 0:
            return 0.0
        if tokens_in is None or tokens_out is None:
            return None
        return (tokens_in * self.price_in_usd + tokens_out * self.price_out_usd) / 1e6


def token_count(value: object) -> int | None:
    """A service's count of tokens; None for what cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


def _temperature(id: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 2:
        raise UsageError(f"model {id!r}: temperatures are numbers from 0 to 2, not {value!r}")
    return float(value)
