"""What goes over the pipes between a run and its worker processes: JSON messages with their length in front."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

from evolve.errors import CandidateError, EvolveError, WorkerError

LIMIT_BYTES = 256 * 2**20
_HEADER = struct.Struct(">I")


class FrameError(WorkerError):
    """The other side sent something that is no message."""


def pack(message: Mapping[str, Any]) -> bytes:
    """The frame of a message. Raises FrameError when it is too large or no JSON."""
    try:
        body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise FrameError(f"a message cannot be written as JSON: {error}") from None
    _check_size(len(body))
    return _HEADER.pack(len(body)) + body


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message of a blocking stream; None at its end."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack(header)
    _check_size(size)
    body = stream.read(size)
    return None if len(body) < size else _parse(body)


async def receive(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message of an asyncio stream; None at its end."""
    try:
        (size,) = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        _check_size(size)
        return _parse(await reader.readexactly(size))
    except asyncio.IncompleteReadError:
        return None


def describe(error: EvolveError) -> dict[str, Any]:
    """An error as plain data, under the nearest class that every process knows."""
    known = next(cls for cls in type(error).__mro__ if cls.__module__ == EvolveError.__module__)
    record: dict[str, Any] = {"type": known.__name__, "reason": error.reason, "message": str(error)}
    if isinstance(error, CandidateError):
        record.update(line=error.line, kind=error.kind)
    return record


def restore(record: Mapping[str, Any]) -> EvolveError:
    """The error that ``describe`` wrote down; an unknown class becomes a WorkerError."""
    found = _classes(EvolveError).get(str(record.get("type")), WorkerError)
    message = str(record.get("message"))
    if issubclass(found, CandidateError):
        return found(message, line=record.get("line"), kind=record.get("kind"))
    return found(message)


def _classes(root: type[EvolveError]) -> dict[str, type[EvolveError]]:
    found = {root.__name__: root}
    for cls in root.__subclasses__():
        found.update(_classes(cls))
    return found


def _check_size(size_bytes: int) -> None:
    if size_bytes > LIMIT_BYTES:
        raise FrameError(f"a message of {size_bytes} bytes is over the limit of {LIMIT_BYTES}; return less")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FrameError(f"a message is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise FrameError(f"a message is {type(message).__name__}, not an object")
    return message
