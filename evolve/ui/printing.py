"""Lines that are printed beside the work, so that a terminal that nobody reads holds up nothing."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable

KEPT_LINES = 1000
"""Lines that wait for a slow reader; of more the oldest are left out."""


class Printer:
    """A thread that prints lines in their order. ``put`` returns at once; ``close`` waits until all are printed.

    When printing fails, because the reader is gone, everything else is dropped.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._waiting: deque[str] = deque()
        self._left_out = 0
        self._changed = threading.Condition()
        self._closed = False
        # no reason to wait at the end of the process for a terminal that takes nothing
        self._thread = threading.Thread(target=self._print, name="printer", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        with self._changed:
            self._waiting.append(text)
            if len(self._waiting) > KEPT_LINES:
                self._waiting.popleft()
                self._left_out += 1
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _print(self) -> None:
        with contextlib.suppress(OSError):
            while (text := self._next()) is not None:
                self._write(text)

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._left_out:
                text, self._left_out = f"({self._left_out} lines were left out: nobody read them)", 0
                return text
            return self._waiting.popleft() if self._waiting else None


def stdout_printer() -> Printer | None:
    """A printer to standard output; None where that is no file and takes everything at once."""
    try:
        target = sys.stdout.fileno()
    except (OSError, ValueError):
        return None
    sys.stdout.flush()
    encoding = sys.stdout.encoding or "utf-8"

    def write(text: str) -> None:
        # past Python's buffer, whose lock would be held for as long as nobody reads
        pending = memoryview(f"{text}\n".encode(encoding, "replace"))
        while pending:
            pending = pending[os.write(target, pending) :]

    return Printer(write)
