"""What comes is handled at once, one batch after the other, as if the task had been woken for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from line.delivery import Delivery
from tests.deadlines import DEADLINE_S


class Reader:
    """A task that takes numbers; `may_go_on` holds it up."""

    def __init__(
        self, handle: Callable[[list[int]], Coroutine[Any, Any, bool]] | None = None
    ) -> None:
        self.batches: list[list[int]] = []
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.waiting: deque[int] = deque()
        self.delivery: Delivery[int] | None = None
        self._begun = asyncio.Event()
        self._handle = handle or self._take
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        self.delivery = Delivery(self.waiting, self._handle)
        self._begun.set()
        await self.delivery.run()

    async def begun(self) -> Reader:
        """Until it takes what comes."""
        async with asyncio.timeout(DEADLINE_S):
            await self._begun.wait()
        return self

    async def _take(self, batch: list[int]) -> bool:
        self.batches.append(batch)
        await self.may_go_on.wait()
        self.tasks.append(asyncio.current_task())
        return batch[-1] >= 0

    def put(self, *numbers: int) -> None:
        """Something comes."""
        assert self.delivery is not None
        self.waiting.extend(numbers)
        self.delivery.offer()

    def end(self) -> None:
        """Nothing more comes."""
        assert self.delivery is not None
        self.delivery.end()

    async def ended(self) -> None:
        """Until the task has returned; its failure passes."""
        async with asyncio.timeout(DEADLINE_S):
            await self.task


@pytest.mark.asyncio
async def test_what_comes_is_handled_in_the_same_step_and_as_that_task() -> None:
    reader = await Reader().begun()
    reader.put(1)
    reader.put(2, 3)
    asyncio.get_running_loop().call_soon(reader.put, 4)
    assert reader.batches == [[1], [2, 3]]
    await asyncio.sleep(0)
    assert reader.batches == [[1], [2, 3], [4]]
    assert reader.tasks == [reader.task] * 3
    assert asyncio.current_task() is not reader.task
    reader.end()
    await reader.ended()


@pytest.mark.asyncio
async def test_what_comes_while_the_last_is_held_up_waits_and_keeps_its_order() -> None:
    reader = await Reader().begun()
    reader.may_go_on.clear()
    reader.put(1)
    reader.put(2)
    reader.put(3)
    assert reader.batches == [[1]]
    reader.may_go_on.set()
    reader.end()
    await reader.ended()
    assert reader.batches == [[1], [2, 3]]
    assert reader.tasks == [reader.task] * 2


@pytest.mark.asyncio
@pytest.mark.parametrize("is_held_up", [False, True])
async def test_a_reader_that_wants_no_more_gets_no_more(*, is_held_up: bool) -> None:
    reader = await Reader().begun()
    if is_held_up:
        reader.may_go_on.clear()
    reader.put(-1)
    reader.put(2)
    reader.may_go_on.set()
    await reader.ended()
    reader.put(3)
    assert reader.batches == [[-1]]


@pytest.mark.asyncio
async def test_what_a_reader_raises_is_raised_in_its_task() -> None:
    async def fail(_batch: list[int]) -> bool:
        raise KeyError("of the reader")

    reader = await Reader(fail).begun()
    reader.put(1)
    with pytest.raises(KeyError, match="of the reader"):
        await reader.ended()


@pytest.mark.asyncio
async def test_a_deadline_within_reaches_what_has_to_wait() -> None:
    outcomes: list[str] = []

    async def wait_too_long(_batch: list[int]) -> bool:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            outcomes.append("timeout")
        return False

    reader = await Reader(wait_too_long).begun()
    reader.put(1)
    await reader.ended()
    assert outcomes == ["timeout"]


@pytest.mark.asyncio
async def test_cancelling_the_task_cancels_what_it_has_begun() -> None:
    ends: list[str] = []

    async def wait_for_ever(_batch: list[int]) -> bool:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ends.append(type(error).__name__)
            raise
        return True

    for is_resumed in (True, False):
        reader = await Reader(wait_for_ever).begun()
        reader.put(1)
        if is_resumed:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        reader.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader.ended()
        reader.put(2)
    # Cancelled before it went on with it, the task closes what was begun.
    assert ends[0] == "CancelledError"
    assert len(ends) == 2
