"""How values are written into columns."""

from __future__ import annotations

import hashlib
import json
import zlib
from datetime import UTC, datetime
from typing import Any


def now() -> str:
    """The time as the database writes it: UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: Any) -> str:
    """JSON with sorted keys. Raises ValueError for NaN and infinities, which JSON has no word for."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)


def storable(value: Any) -> Any:
    """The value with what UTF-8 cannot hold replaced: replies of language models contain halves of surrogate pairs."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def compress(text: str) -> bytes:
    return zlib.compress(text.encode("utf-8", "replace"))


def decompress(blob: bytes) -> str:
    return zlib.decompress(blob).decode()
