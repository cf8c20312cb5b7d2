"""Frames between the client and a jailed process, and the errors that travel in them.

A frame is two 8-byte big-endian lengths, then that many bytes of UTF-8 JSON (an object) and of safetensors (arrays; may
be empty). A request frame holds the request; a reply frame holds ``{"reply": {...}}`` or ``{"error": {"kind",
"message", "line", "class"?}}``. Whoever reads a reply treats it as written by an enemy: sizes are enforced while
reading, and whatever is wrong with a frame is a SandboxCrash.
"""

from __future__ import annotations

import json
import re
import struct
import unicodedata
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from evolve.errors import CANDIDATE_ERRORS, CandidateError, SandboxCrash, SandboxMemory

Arrays = Mapping[str, Any]
"""Numpy arrays by name; numpy itself is imported only where there are some."""
Message = tuple[dict[str, Any], dict[str, Any]]
"""A request or a reply: plain data, and numpy arrays by name."""

HEADER = struct.Struct(">QQ")
MAX_JSON_BYTES = 8 * 2**20
"""Python objects made from JSON can take twenty times its size."""
MAX_ARRAY_NAMES_BYTES = 2**20
MAX_NESTING = 128
MESSAGE_CHARACTERS = 500
LINE_CHARACTERS = 2000
DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)

_ESCAPE_CODES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?", re.DOTALL
)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
# possessive, and an unfinished text matches too: otherwise an enemy's half text of 8 MiB is searched for hours
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACKET_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")


def pack(message: Mapping[str, Any], arrays: Arrays | None = None) -> bytes:
    """One frame. Raises TypeError or ValueError for what JSON or the array format cannot hold."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    blob = b""
    if arrays:
        import numpy as np
        from safetensors.numpy import save

        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.name not in DTYPES:
                held = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"array {name!r} is of {held}; use one of {', '.join(sorted(DTYPES))}")
        native = {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
        blob = save(native)
    return HEADER.pack(len(text), len(blob)) + text + blob


class FrameReader:
    """Puts one frame together from whatever pieces arrive and refuses it as soon as it grows too large."""

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._json_bytes = self._total_bytes = -1

    @property
    def started(self) -> bool:
        return bool(self._buffer)

    @property
    def wanted_bytes(self) -> int:
        """How much is still missing, as far as is known."""
        return (HEADER.size if self._total_bytes < 0 else self._total_bytes) - len(self._buffer)

    def feed(self, piece: bytes) -> None:
        """Takes at most ``wanted_bytes`` bytes. Raises SandboxCrash when the frame announces more than is allowed."""
        self._buffer += piece
        if self._total_bytes < 0 and len(self._buffer) >= HEADER.size:
            json_bytes, blob_bytes = HEADER.unpack_from(self._buffer)
            self._json_bytes, self._total_bytes = json_bytes, HEADER.size + json_bytes + blob_bytes
            if self._limit_bytes is not None:
                self._refuse_large(json_bytes, min(self._limit_bytes, MAX_JSON_BYTES))
                self._refuse_large(json_bytes + blob_bytes, self._limit_bytes)

    @staticmethod
    def _refuse_large(size_bytes: int, limit_bytes: int) -> None:
        if size_bytes > limit_bytes:
            raise SandboxCrash(f"reply larger than {limit_bytes} bytes ({size_bytes} announced); return less")

    def message(self) -> Message:
        """The finished frame. Raises SandboxCrash when it is malformed."""
        view = memoryview(self._buffer)
        text = bytes(view[HEADER.size : HEADER.size + self._json_bytes])
        blob = bytes(view[HEADER.size + self._json_bytes :])
        return _parse_json(text), _parse_arrays(blob)


def _parse_json(text: bytes) -> dict[str, Any]:
    try:
        if _nesting(text) > MAX_NESTING:
            raise ValueError(f"nested deeper than {MAX_NESTING} levels")
        message = json.loads(text.decode("utf-8"))
        if _SURROGATE_ESCAPE.search(text):
            # half a character can be escaped in JSON but never written out again, to a database or a terminal
            json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise SandboxCrash(f"malformed reply: {clean(str(error), 100)}") from None
    if not isinstance(message, dict):
        raise SandboxCrash(f"malformed reply: {type(message).__name__} in place of an object")
    return message


def _nesting(text: bytes) -> int:
    """How deep the brackets of a JSON text go. What is too deep would overflow the stack of whoever walks it later."""
    brackets = _JSON_STRING.sub(b"", text).translate(_BRACKET_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)


def _parse_arrays(blob: bytes) -> dict[str, Any]:
    if not blob:
        return {}
    from safetensors.numpy import load

    try:
        if int.from_bytes(blob[:8], "little") > MAX_ARRAY_NAMES_BYTES:
            raise ValueError("too many arrays")
        arrays = {clean(name, 100): array.copy() for name, array in load(blob).items()}
        if any(array.dtype.name not in DTYPES for array in arrays.values()):
            raise ValueError("an array type that is not allowed")
        return arrays
    # a process boundary: the bytes are an enemy's, and the parser's errors are of many kinds
    except Exception as error:
        raise SandboxCrash(f"malformed arrays in the reply: {clean(str(error), 100)}") from None


def unwrap(message: dict[str, Any]) -> dict[str, Any]:
    """The reply inside a reply frame. Raises the CandidateError it carries, or SandboxCrash when it is neither."""
    if set(message) == {"reply"} and isinstance(message["reply"], dict):
        return message["reply"]
    if set(message) == {"error"} and isinstance(message["error"], dict):
        raise candidate_error(message["error"])
    raise SandboxCrash("malformed reply: neither a reply nor an error")


def candidate_error(record: Mapping[str, Any]) -> CandidateError:
    """The error that a record from the process stands for."""
    kind, message, line = record.get("kind"), record.get("message"), record.get("line")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        kind = "Error"
    if isinstance(line, bool) or not isinstance(line, int) or not 0 < line < 10**9:
        line = None
    text = clean(message if isinstance(message, str) else "") or kind
    if kind in ("MemoryError", "RecursionError"):
        if kind == "MemoryError":
            text = f"the program needs more memory than it is allowed ({text}); use less, or raise sandbox.memory_mb"
        return SandboxMemory(text, line=line, kind=kind)
    if kind in ("SystemExit", "KeyboardInterrupt"):
        return SandboxCrash(f"the program left with {kind}: {text}", line=line, kind=kind)
    name = record.get("class", kind)
    error = CANDIDATE_ERRORS.get(name, CandidateError) if isinstance(name, str) else CandidateError
    return error(text, line=line, kind=kind)


def clean_lines(text: str, lines: int = 40) -> str:
    """At most so many ``lines`` of a text, without escape codes and control characters and each of bounded length."""
    kept = (_ESCAPE_CODES.sub("", line[:LINE_CHARACTERS].expandtabs()) for line in text.split("\n")[:lines])
    return "\n".join("".join(char if char.isprintable() else " " for char in line).rstrip() for line in kept).rstrip()


def clean(text: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """``text`` on one line, without escape codes and control characters, shortened to ``characters``."""
    text = _ESCAPE_CODES.sub("", text[: 8 * characters])
    text = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    text = " ".join(text.split())
    return text if len(text) <= characters else text[: characters - 1] + "…"
