"""Turnstiles: an optional fixed order of steps that run concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turnstile:
    """Lets numbers 0, 1, 2, ... pass one after the other, however they arrive.

    With one worker the engine sends every proposal through two of these, so that what a proposal sees does not depend
    on timing and a seeded run repeats itself. Disabled (``ordered=False``) it holds nobody up. A number that will never
    come must be ``skip``-ped. One that ``closes`` lets nobody pass any more once a block has failed: who comes waits
    until it is cancelled.
    """

    def __init__(self, ordered: bool, *, closes: bool = False) -> None:
        self.ordered = ordered
        self._closes = closes
        self._closed = False
        self._next = 0
        self._passed: set[int] = set()
        self._moved = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """Waits until all smaller numbers have left, and leaves at the end of the block, however it ends."""
        if self.ordered or self._closed:
            async with self._moved:
                await self._moved.wait_for(lambda: not self._closed and self._next == number)
        failed = True
        try:
            yield
            failed = False
        finally:
            if failed:
                self._closed = self._closes
            await self.skip(number)

    async def skip(self, number: int) -> None:
        """Marks ``number`` as gone. Calling it again does nothing."""
        if not self.ordered:
            return
        async with self._moved:
            if number >= self._next:
                self._passed.add(number)
            while self._next in self._passed:
                self._passed.remove(self._next)
                self._next += 1
            self._moved.notify_all()
