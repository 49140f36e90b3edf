from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.deadline import within
from utils import cancel_and_wait


def _timers() -> int:
    loop: Any = asyncio.get_running_loop()
    return len(loop._scheduled)


@pytest.mark.asyncio
async def test_what_need_not_wait_sets_no_timer() -> None:
    async def at_once() -> int:
        assert _timers() == before
        return 7

    before = _timers()
    assert await within(5, at_once()) == 7


@pytest.mark.asyncio
async def test_what_waits_goes_on_where_it_stood_and_may_wait_again() -> None:
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]

    async def twice() -> list[int]:
        return [await future for future in futures]

    waiting = asyncio.get_running_loop().create_task(within(5, twice()))
    for result, future in enumerate(futures):
        await asyncio.sleep(0)
        assert not waiting.done()
        future.set_result(result)
    assert await waiting == [0, 1]


@pytest.mark.asyncio
async def test_what_takes_longer_is_cancelled() -> None:
    cleaned_up = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    with pytest.raises(TimeoutError):
        await within(0.01, for_ever())
    assert cleaned_up.is_set()


@pytest.mark.asyncio
@pytest.mark.parametrize("pauses", [0, 1])
async def test_errors_come_through_before_and_after_waiting(pauses: int) -> None:
    async def fail() -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await within(5, fail())


@pytest.mark.asyncio
async def test_a_cancellation_from_outside_reaches_the_coroutine_which_may_still_wait() -> None:
    begun, cleaned_up = asyncio.Event(), asyncio.Event()

    async def careful() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.set()

    task = asyncio.get_running_loop().create_task(within(5, careful()))
    await begun.wait()
    await cancel_and_wait(task)
    assert task.cancelled()
    assert cleaned_up.is_set()
