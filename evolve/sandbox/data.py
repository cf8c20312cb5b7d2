"""Plain data with arrays in it, as it crosses the wall of the sandbox; used on both sides.

``encode`` lifts numpy arrays out of a value and leaves ``{"__array__": name}`` in their place; the arrays travel beside
the JSON. ``decode`` puts them back. On the way tuples become lists and numpy numbers become Python numbers. Allowed:
None, bool, int, float (also nan and inf), str, list, tuple, dict with str keys, numpy numbers, numpy arrays of numbers
or bools.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from evolve.sandbox.wire import DTYPES

ARRAY_KEY = "__array__"
MAX_DEPTH = 64
MAX_INTEGER_BITS = 8192
ALLOWED = (
    "None, bool, int, float, str, list, tuple, dict with str keys, numpy numbers and numpy arrays of bool, int or float"
)


def encode(value: Any, name: str = "value") -> tuple[Any, dict[str, Any]]:
    """``value`` as JSON data and the arrays lifted out of it.

    Raises TypeError that says where in ``name`` a type is that is not allowed, and which are.
    """
    arrays: dict[str, Any] = {}
    return _encode(value, name, 0, arrays), arrays


def _encode(value: Any, where: str, depth: int, arrays: dict[str, Any]) -> Any:
    if depth > MAX_DEPTH:
        raise TypeError(f"{where[:80]} is nested deeper than {MAX_DEPTH} levels; return flatter data")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encode_text(value, where)
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise TypeError(
                f"{where} is an integer of {value.bit_length()} bits; at most {MAX_INTEGER_BITS} are allowed"
            )
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return [_encode(item, f"{where}[{index}]", depth + 1, arrays) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == ARRAY_KEY:
                raise TypeError(f"{where} has the key {key!r}; keys must be str and not {ARRAY_KEY!r}")
        return {
            _encode_text(key, where): _encode(item, f"{where}[{key!r}]", depth + 1, arrays)
            for key, item in value.items()
        }
    return _encode_numpy(value, where, depth, arrays)


def _encode_text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TypeError(f"{where} holds half a Unicode character (a lone surrogate)") from None
    return str(text)


def _encode_numpy(value: Any, where: str, depth: int, arrays: dict[str, Any]) -> Any:
    # where numpy was never imported, no value can be of its types
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.name in DTYPES:
        return _encode(value.item(), where, depth + 1, arrays)
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.name not in DTYPES:
            raise TypeError(f"{where} is an array of {value.dtype}; allowed are arrays of {', '.join(sorted(DTYPES))}")
        name = f"a{len(arrays)}"
        arrays[name] = numpy.asarray(value)
        return {ARRAY_KEY: name}
    raise TypeError(f"{where} is of type {type(value).__name__}; allowed are {ALLOWED}")


def decode(data: Any, arrays: Mapping[str, Any]) -> Any:
    """The value that ``encode`` took apart. Raises ValueError when a place names an array that is not there."""
    if isinstance(data, list):
        return [decode(item, arrays) for item in data]
    if isinstance(data, dict):
        if ARRAY_KEY in data:
            name = data[ARRAY_KEY]
            if len(data) != 1 or not isinstance(name, str) or name not in arrays:
                raise ValueError("a place for an array names none of the arrays sent")
            return arrays[name]
        return {key: decode(item, arrays) for key, item in data.items()}
    return data
