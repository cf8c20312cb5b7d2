from __future__ import annotations

import asyncio

import pytest

from evolve.loop.order import Turnstile


def pass_through(ordered, arrivals):
    async def main():
        gate, seen = Turnstile(ordered), []

        async def one(number):
            async with gate.turn(number):
                seen.append(number)

        await asyncio.gather(*(one(number) for number in arrivals))
        return seen

    return asyncio.run(asyncio.wait_for(main(), 60))


def test_numbers_pass_in_order_however_they_arrive():
    assert pass_through(True, [3, 0, 2, 1]) == [0, 1, 2, 3]


def test_unordered_holds_nobody_up():
    assert pass_through(False, [3, 0]) == [3, 0]


def test_a_failure_inside_still_lets_the_next_pass():
    async def main():
        gate = Turnstile(True)
        with pytest.raises(ValueError, match="inside"):
            async with gate.turn(0):
                raise ValueError("inside")
        async with gate.turn(1):
            return True

    assert asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("ordered", [True, False])
def test_nobody_passes_a_closing_one_after_a_failure(ordered):
    async def main():
        gate, passed = Turnstile(ordered, closes=True), []

        async def one(number):
            async with gate.turn(number):
                if number == 1:
                    raise ValueError("inside")
                passed.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(4)]
        _, waiting = await asyncio.wait(tasks, timeout=0.2)
        assert waiting == set(tasks[2:])
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one).__name__ for one in ended] == ["NoneType", "ValueError", "CancelledError", "CancelledError"]
        return passed

    assert asyncio.run(asyncio.wait_for(main(), 60)) == [0]


def test_a_skipped_number_is_not_waited_for():
    async def main():
        gate = Turnstile(True)
        await gate.skip(1)
        async with gate.turn(0):
            pass
        async with gate.turn(2):
            return True

    assert asyncio.run(asyncio.wait_for(main(), 60))
