"""A scripted OpenAI-compatible server for tests: real HTTP on a free port, one scripted answer per request."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One scripted answer. ``hold`` keeps the request open until the client gives up or the server closes; ``cut``
    breaks the connection in the middle of the answer, ``endless`` repeats it every so many seconds without an end."""

    text: str | None = "ok"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    tokens_in: int | None = 100
    tokens_out: int | None = 50
    raw: bytes | None = None
    hold: bool = False
    cut: bool = False
    endless: float | None = None
    message: str = "scripted failure"

    def body(self, model: str) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.status != 200:
            return json.dumps({"error": {"message": self.message, "type": "scripted", "code": None}}).encode()
        choice = {"index": 0, "message": {"role": "assistant", "content": self.text}, "finish_reason": "stop"}
        data: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
        }
        if self.tokens_in is not None and self.tokens_out is not None:
            data["usage"] = {
                "prompt_tokens": self.tokens_in,
                "completion_tokens": self.tokens_out,
                "total_tokens": self.tokens_in + self.tokens_out,
            }
        return json.dumps(data).encode()


def truncated_json(text: str = "ok") -> Reply:
    """An answer whose JSON stops half-way."""
    whole = Reply(text).body("scripted")
    return Reply(raw=whole[: len(whole) // 2])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        script = self.server.script
        with script.lock:
            script.requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
            reply = script.replies.popleft() if script.replies else script.answer(body)
        if reply.hold:
            script.released.wait(30)
            self.close_connection = True
            return
        data = reply.body(body.get("model", ""))
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if reply.endless is None:
            self.send_header("Content-Length", str(len(data)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            if reply.endless is not None:
                self._repeat(data, reply.endless)
            elif reply.cut:
                self._cut(data)
            else:
                self.wfile.write(data)
                self.wfile.flush()
        except OSError:  # the client hung up, which is what some tests are about
            self.close_connection = True

    def _repeat(self, data: bytes, pause_s: float) -> None:
        while not self.server.script.released.wait(pause_s):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def _cut(self, data: bytes) -> None:
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        # without lingering, closing resets the connection
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Script:
    """What the server answers and what it was asked: ``requests`` holds path, headers and JSON body of each call."""

    def __init__(
        self,
        replies: Iterable[Reply | str] = (),
        default: Reply | None = None,
        answer: Callable[[dict[str, Any]], Reply] | None = None,
    ) -> None:
        self.replies = deque(reply if isinstance(reply, Reply) else Reply(reply) for reply in replies)
        last = default or Reply(status=500, message="the script is at its end")
        self.answer = answer or (lambda body: last)
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.url = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, script: Script) -> None:
        self.script = script
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the script."""


@contextmanager
def serving(
    *replies: Reply | str, default: Reply | None = None, answer: Callable[[dict[str, Any]], Reply] | None = None
) -> Iterator[Script]:
    """A running server; ``script.url`` is its base for an OpenAI client (ending in /v1).

    After the scripted ``replies`` come those that ``answer`` gives to the bodies of requests, one at a time, else
    ``default``.
    """
    script = Script(replies, default, answer)
    server = _Server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield script
    finally:
        script.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
