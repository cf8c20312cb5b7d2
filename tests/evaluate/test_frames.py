from __future__ import annotations

import asyncio
import io
import struct

import pytest

from evolve.errors import DonorError, EvaluatorError, RecipeError, SandboxCrash, WorkerError
from evolve.evaluate import frames
from evolve.sandbox.launcher import ServerGone


def test_messages_survive_both_ways_of_reading():
    message = {"id": 1, "text": "足し算\n", "numbers": [0.1, -2]}
    data = frames.pack(message)
    assert frames.read(io.BytesIO(data)) == message

    async def receive():
        reader = asyncio.StreamReader()
        reader.feed_data(data + data[:7])
        reader.feed_eof()
        return await frames.receive(reader), await frames.receive(reader)

    assert asyncio.run(receive()) == (message, None)


@pytest.mark.parametrize("cut", [0, 2, 4, 9])
def test_a_stream_that_ends_early_is_an_end(cut):
    assert frames.read(io.BytesIO(frames.pack({"id": 1234})[:cut])) is None


def test_messages_that_are_none_are_refused(monkeypatch):
    with pytest.raises(frames.FrameError, match="over the limit"):
        frames.read(io.BytesIO(struct.pack(">I", 2**32 - 1)))
    for body in (b"[1]", b"{", b"\xff\xff"):
        with pytest.raises(frames.FrameError, match="a message is"):
            frames.read(io.BytesIO(struct.pack(">I", len(body)) + body))
    with pytest.raises(frames.FrameError, match="cannot be written as JSON"):
        frames.pack({"score": float("nan")})
    monkeypatch.setattr(frames, "LIMIT_BYTES", 10)
    with pytest.raises(frames.FrameError, match="over the limit of 10; return less"):
        frames.pack({"text": "a" * 20})


@pytest.mark.parametrize(
    "error", [DonorError("missing"), EvaluatorError("nan"), RecipeError("bad", line=3, kind="KeyError")]
)
def test_errors_keep_class_message_and_line(error):
    restored = frames.restore(frames.describe(error))
    assert type(restored) is type(error)
    assert (str(restored), restored.reason, vars(restored)) == (str(error), error.reason, vars(error))


def test_a_class_of_one_module_alone_travels_as_the_nearest_known_one():
    restored = frames.restore(frames.describe(ServerGone("the sandbox server ended")))
    assert (type(restored), str(restored)) == (SandboxCrash, "the sandbox server ended")


def test_an_unknown_class_is_a_worker_error():
    assert type(frames.restore({"type": "KeyError", "message": "x"})) is WorkerError
