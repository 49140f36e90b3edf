"""A coroutine begins at once as another task's, and goes on in that task only if it has to wait."""

from __future__ import annotations

import asyncio

import pytest

from inline_steps import InlineSteps
from tests.deadlines import DEADLINE_S


async def double(number: int, wait: asyncio.Event | None = None) -> int:
    """Twice the number, maybe later."""
    if wait is not None:
        await wait.wait()
    return 2 * number


@pytest.mark.asyncio
async def test_what_need_not_wait_is_done_at_once() -> None:
    task = asyncio.current_task()
    assert task is not None
    steps: InlineSteps[int] = InlineSteps(task)
    assert steps.begin(double(2)) == (4,)
    assert not steps.is_busy
    assert await steps.finish() is None
    assert asyncio.current_task() is task


@pytest.mark.asyncio
async def test_what_has_to_wait_goes_on_in_the_task() -> None:
    may_go_on, begun = asyncio.Event(), asyncio.Event()
    steps: InlineSteps[int] | None = None

    async def own() -> tuple[int] | None:
        nonlocal steps
        task = asyncio.current_task()
        assert task is not None
        steps = InlineSteps(task)
        begun.set()
        await may_go_on.wait()
        return await steps.finish()

    owner = asyncio.get_running_loop().create_task(own())
    async with asyncio.timeout(DEADLINE_S):
        await begun.wait()
        assert steps is not None
        assert steps.begin(double(3, may_go_on)) is None
        assert steps.is_busy
        may_go_on.set()
        assert await owner == (6,)
    assert not steps.is_busy


@pytest.mark.asyncio
async def test_a_failure_passes_and_the_next_one_can_begin() -> None:
    async def fail() -> int:
        raise KeyError("at once")

    task = asyncio.current_task()
    assert task is not None
    steps: InlineSteps[int] = InlineSteps(task)
    with pytest.raises(KeyError, match="at once"):
        steps.begin(fail())
    assert asyncio.current_task() is task
    assert steps.begin(double(1)) == (2,)


@pytest.mark.asyncio
async def test_closing_closes_what_was_begun() -> None:
    ends: list[str] = []

    async def wait() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("closed")
        return 0

    task = asyncio.current_task()
    assert task is not None
    steps: InlineSteps[int] = InlineSteps(task)
    assert steps.begin(wait()) is None
    steps.close()
    steps.close()
    assert ends == ["closed"]
    assert not steps.is_busy
