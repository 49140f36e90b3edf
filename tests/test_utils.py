"""Small helpers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from utils import (
    BacklogWarning,
    BoundedDict,
    OwnedTasks,
    cancel_and_wait,
    named_values,
    run_unless,
    shorten,
)

LOG = logging.getLogger("test")


@pytest.mark.asyncio
async def test_owned_tasks_end_with_their_owner() -> None:
    tasks = OwnedTasks(LOG)
    endless = tasks.start(asyncio.Event().wait(), name="endless")
    assert len(tasks) == 1
    await tasks.close()
    assert endless.cancelled()
    assert len(tasks) == 0


@pytest.mark.asyncio
async def test_a_failing_owned_task_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    tasks = OwnedTasks(LOG)
    task = tasks.start(fail(), name="failing")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert "task failing failed" in caplog.text
    assert "on purpose" in caplog.text


@pytest.mark.asyncio
async def test_an_owned_task_may_close_its_owner() -> None:
    tasks = OwnedTasks(LOG)
    task = tasks.start(tasks.close(), name="closer")
    await asyncio.wait_for(task, 1)


@pytest.mark.asyncio
async def test_cancel_and_wait_lets_our_own_cancellation_through() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    child = asyncio.get_running_loop().create_task(stubborn())
    await asyncio.sleep(0)
    waiting = asyncio.get_running_loop().create_task(cancel_and_wait(child))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    release.set()
    await asyncio.wait([child])


@pytest.mark.asyncio
async def test_run_unless_returns_the_result() -> None:
    async def answer() -> int:
        return 42

    assert await run_unless(asyncio.get_running_loop().create_future(), answer()) == 42


@pytest.mark.asyncio
async def test_run_unless_cancels_when_stopped() -> None:
    stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    was_cancelled = asyncio.Event()

    async def endless() -> None:
        stopped.set_result(None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise

    await run_unless(stopped, endless())
    assert was_cancelled.is_set()


@pytest.mark.asyncio
async def test_run_unless_raises_what_failed() -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await run_unless(asyncio.get_running_loop().create_future(), fail())


def test_long_strings_are_cut_at_every_depth() -> None:
    cut = shorten({"a": ["x" * 500], "b": 1}, limit=10)
    assert cut == {"a": ["xxxxxxxxxx… (500 characters)"], "b": 1}


def test_a_bounded_dict_keeps_the_newest_entries() -> None:
    kept: BoundedDict[str, int] = BoundedDict(2)
    kept["a"], kept["b"] = 1, 2
    kept["a"] = 3  # keeps its place
    assert kept.setdefault("c", 4) == 4
    assert dict(kept) == {"b": 2, "c": 4}
    kept.move_to_end("b")
    kept["d"] = 5
    assert dict(kept) == {"b": 2, "d": 5}


def test_a_queue_that_grows_is_one_warning_until_it_shrank_to_half(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backlog = BacklogWarning(LOG, "of things", 10)
    for size in (*range(1, 30), 6, 12, 5, *range(6, 30)):
        backlog.observe(size)
    assert [one.getMessage() for one in caplog.records] == [
        "queue of things grows: 10 entries wait",
        "queue of things grows: 10 entries wait",
    ]


def test_named_values_are_split_stripped_and_may_hold_equals_signs() -> None:
    assert named_values(" a = b=c ;\n; d ;e=") == [("a", "b=c"), ("d", None), ("e", "")]
    assert named_values("a=b;c,d=e", ",") == [("a", "b;c"), ("d", "e")]
    assert named_values("") == []
