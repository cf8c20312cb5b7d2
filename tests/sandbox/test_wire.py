from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import (
    CandidateError,
    SandboxCrash,
    SandboxMemory,
    SandboxTimeout,
    ShapeMismatch,
)
from evolve.sandbox.wire import HEADER, MAX_JSON_BYTES, FrameReader, candidate_error, clean, pack, unwrap

LIMIT_BYTES = 10_000


def read(frame: bytes, limit_bytes: int | None = LIMIT_BYTES, piece_bytes: int = 7) -> tuple[dict, dict]:
    reader = FrameReader(limit_bytes)
    while reader.wanted_bytes:
        size = min(piece_bytes, reader.wanted_bytes)
        piece, frame = frame[:size], frame[size:]
        assert piece, "the frame ended early"
        reader.feed(piece)
    return reader.message()


def framed(text: bytes, blob: bytes = b"") -> bytes:
    return HEADER.pack(len(text), len(blob)) + text + blob


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain, max_size=4), st.integers(1, 64))
def test_what_is_packed_comes_back(message: dict, piece_bytes: int) -> None:
    assert read(pack(message), None, piece_bytes) == (message, {})


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "float64"])
def test_arrays_come_back_and_can_be_written_to(dtype: str) -> None:
    arrays = {
        "a": np.arange(6).reshape(2, 3).astype(dtype),
        "scalar": np.array(1, dtype),
        "none": np.zeros((0, 4), dtype),
    }
    _, back = read(pack({}, arrays))
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array, strict=True)
    back["a"][0] = 1


def test_arrays_of_any_memory_layout_come_back() -> None:
    base = np.arange(24.0).reshape(4, 6)
    arrays = {"transposed": base.T, "strided": base[::2, ::3], "reversed": base[::-1], "foreign": base.astype(">f8")}
    _, back = read(pack({}, arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.array([1j]), [1, 2]])
def test_other_arrays_are_refused_when_packing(array: object) -> None:
    with pytest.raises(TypeError, match="array 'x' is of"):
        pack({}, {"x": array})


@pytest.mark.parametrize(
    "frame",
    [
        framed(b"{}", b"x" * (LIMIT_BYTES + 1)),
        framed(b"x" * (LIMIT_BYTES + 1)),
        b"\xff" * 64,
        b"A" * 64,
        HEADER.pack(2**64 - 1, 2**64 - 1),
    ],
)
def test_too_large_is_refused_before_it_is_read(frame: bytes) -> None:
    with pytest.raises(SandboxCrash, match=f"reply larger than {LIMIT_BYTES} bytes"):
        read(frame[: HEADER.size])


def test_json_has_a_limit_of_its_own() -> None:
    with pytest.raises(SandboxCrash, match="reply larger than"):
        read(HEADER.pack(MAX_JSON_BYTES + 1, 0), 2**40)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff\xfe{}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\uDFFF":1}',
    ],
)
def test_malformed_json_is_a_crash(text: bytes) -> None:
    with pytest.raises(SandboxCrash, match="malformed reply"):
        read(framed(text))


def test_nesting_that_would_overflow_the_reader_is_a_crash() -> None:
    deep = b'{"reply":' + b'{"a":[' * 100_000 + b"]}" * 100_000 + b"}"
    with pytest.raises(SandboxCrash, match="nested deeper"):
        read(framed(deep), None, 2**20)


def test_brackets_and_escapes_in_strings_are_only_text() -> None:
    message = {"a": "[{" * 500 + '"\\', "b": "\\ud800", "c": "\u00e9\U0001f600"}
    assert read(pack(message), None)[0] == message
    assert read(framed(json.dumps(message).encode()), None)[0] == message


@pytest.mark.parametrize(
    "blob",
    [
        b"x",
        b"\xff" * 40,
        (2**40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}" + b"rest",
        (len(h := b'{"a":{"dtype":"F64","shape":[1000000],"data_offsets":[0,8]}}')).to_bytes(8, "little")
        + h
        + b"12345678",
        (len(h := b'{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}')).to_bytes(8, "little") + h + b"12345678",
        (len(h := b'{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}')).to_bytes(8, "little")
        + h
        + b"12345678",
    ],
)
def test_malformed_arrays_are_a_crash(blob: bytes) -> None:
    with pytest.raises(SandboxCrash, match="malformed arrays"):
        read(framed(b"{}", blob))


def test_a_million_array_names_are_a_crash() -> None:
    blob = (2**20 + 8).to_bytes(8, "little") + b"{}".ljust(2**20 + 8)
    with pytest.raises(SandboxCrash, match="too many arrays"):
        read(framed(b"{}", blob), None, 2**20)


@given(st.binary(max_size=300))
def test_no_bytes_make_any_other_error(data: bytes) -> None:
    for text, blob in ((data, b""), (b"{}", data)):
        with contextlib.suppress(SandboxCrash):
            read(framed(text, blob))


@pytest.mark.parametrize(
    "message",
    [{}, {"reply": 1}, {"reply": {}, "error": {}}, {"error": "text"}, {"reply": {}, "more": 1}, {"other": {}}],
)
def test_neither_reply_nor_error_is_a_crash(message: dict) -> None:
    with pytest.raises(SandboxCrash, match="malformed reply"):
        unwrap(message)


@pytest.mark.parametrize(
    ("record", "kind_of_error", "kind", "line"),
    [
        ({"kind": "ShapeMismatch", "message": "m", "line": 3}, ShapeMismatch, "ShapeMismatch", 3),
        ({"kind": "ValueError", "message": "m", "line": None}, CandidateError, "ValueError", None),
        ({"kind": "MemoryError", "message": "m"}, SandboxMemory, "MemoryError", None),
        ({"kind": "RecursionError", "message": "m"}, SandboxMemory, "RecursionError", None),
        ({"kind": "SystemExit", "message": "m"}, SandboxCrash, "SystemExit", None),
        ({"kind": "SandboxTimeout", "message": "m"}, SandboxTimeout, "SandboxTimeout", None),
        ({"kind": "SandboxError", "message": "m"}, CandidateError, "SandboxError", None),
        ({"kind": "__import__('os')", "message": 3, "line": "x"}, CandidateError, "Error", None),
        ({"kind": ["a"], "message": None, "line": True}, CandidateError, "Error", None),
        ({"kind": "E", "message": "m", "line": 10**40}, CandidateError, "E", None),
        ({"kind": "E", "message": "m", "line": -1}, CandidateError, "E", None),
        ({}, CandidateError, "Error", None),
        ({"class": "ShapeMismatch", "kind": "ValueError", "message": "m"}, ShapeMismatch, "ValueError", None),
        ({"class": ["x"], "kind": "ShapeMismatch", "message": "m"}, CandidateError, "ShapeMismatch", None),
    ],
)
def test_error_records(record: dict, kind_of_error: type[CandidateError], kind: str, line: int | None) -> None:
    error = candidate_error(record)
    assert type(error) is kind_of_error
    assert (error.kind, error.line) == (kind, line)
    assert str(error)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\r\n\tb\x00\x08c\u2028d", "a bc d"),
        ("\u202egnp.exe\u2066 \u200b", "gnp.exe"),
        ("\ud800half", "half"),
        ("日本語 é", "日本語 é"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text())
def test_clean_text_is_bounded_printable_and_one_line(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= 500
    assert cleaned.isprintable()
    cleaned.encode()
