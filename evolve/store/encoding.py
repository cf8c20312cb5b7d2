"""How values are written into columns."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def to_json(value: Any) -> str:
    """JSON with sorted keys. Raises ValueError for NaN and infinities, which JSON has no word for."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)


def storable(value: Any) -> Any:
    """The value with what UTF-8 cannot hold replaced: replies of language models contain halves of surrogate pairs."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
