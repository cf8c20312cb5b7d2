"""What an exception of a client library means: try again, give up, or ask for a key."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolve.errors import AuthenticationFailed, ProviderError
from evolve.llm.models import ModelConfig

_TRANSIENT = frozenset({408, 409, 425, 429})
_MAX_MESSAGE = 300


class ReplyTooLarge(ProviderError):
    """The service sent more bytes than ``max_reply_bytes``."""


@dataclass(frozen=True)
class Diagnosis:
    """An error to raise, whether another attempt may help, and the wait that the service asked for."""

    error: ProviderError
    transient: bool
    retry_after_s: float | None = None


def diagnose(error: Exception, config: ModelConfig) -> Diagnosis:
    """Classifies an exception by its HTTP status, or by its type where there is none."""
    if isinstance(error, ProviderError):
        return Diagnosis(error, transient=False)
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        text = (
            f"{config.id}: the key is missing or refused ({status}); set the environment variable {config.key_variable}"
        )
        return Diagnosis(AuthenticationFailed(text), transient=False)
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)) or "APITimeoutError" in names:
        text = f"no answer within {config.timeout_s:g} s; raise timeout_s of the model if it needs longer"
        return Diagnosis(ProviderError(f"{config.id}: {text}"), transient=True)
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) or "APIResponseValidationError" in names:
        return Diagnosis(ProviderError(f"{config.id}: the service's answer is no complete JSON"), transient=True)
    message = _one_line(error)
    if isinstance(status, int) and status != 200:
        spent = "insufficient_quota" in message
        transient = (status in _TRANSIENT or status >= 500) and not spent
        hint = "; the account has no credit left" if spent else ""
        text = f"{config.id}: the service answered {status}: {message}{hint}"
        return Diagnosis(ProviderError(text), transient, _retry_after_s(error))
    transient = "APIConnectionError" in names or "TransportError" in names or isinstance(error, OSError)
    return Diagnosis(ProviderError(f"{config.id}: {type(error).__name__}: {message}"), transient)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _retry_after_s(error: Exception) -> float | None:
    """The Retry-After header in seconds, given as a number or as an HTTP date."""
    headers = _headers(error)
    raw = headers.get("retry-after") or headers.get("Retry-After")
    if raw is None:
        return None
    try:
        return max(0.0, float(raw))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(str(raw)).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _headers(error: Exception) -> Mapping[str, Any]:
    for holder in (getattr(error, "response", None), error):
        for name in ("headers", "litellm_response_headers"):
            headers = getattr(holder, name, None)
            if headers is not None and ("retry-after" in headers or "Retry-After" in headers):
                found: Mapping[str, Any] = headers
                return found
    return {}
