"""Turns at an engine: the more urgent first, sessions in turn, nothing lost to cancellation."""

from __future__ import annotations

import asyncio

import pytest

from speech.engines.work_queue import Urgency, WorkQueue
from utils import cancel_and_wait

FIRST, LATER, SPECULATIVE = Urgency.FIRST, Urgency.LATER, Urgency.SPECULATIVE


class _Line:
    """Work that takes until `go` is set, and the order in which it was begun."""

    def __init__(self, slots: int = 1) -> None:
        self.queue = WorkQueue(slots)
        self.begun: list[str] = []
        self.running = 0
        self.most_running = 0
        self.go = asyncio.Event()

    async def work(self, name: str, owner: str, urgency: Urgency) -> None:
        async with self.queue.slot(owner, urgency):
            self.begun.append(name)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await self.go.wait()
            self.running -= 1


async def _run(line: _Line, *works: tuple[str, str, Urgency]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(line.work(*work))
            await asyncio.sleep(0)
        line.go.set()


@pytest.mark.asyncio
async def test_what_a_listener_waits_for_comes_before_what_may_not_be_needed() -> None:
    line = _Line()
    await _run(
        line,
        ("running", "a", LATER),
        ("guess", "a", SPECULATIVE),
        ("later", "b", LATER),
        ("first", "c", FIRST),
    )
    assert line.begun == ["running", "first", "later", "guess"]


@pytest.mark.asyncio
async def test_sessions_take_turns_whatever_one_of_them_asks_for() -> None:
    line = _Line()
    greedy = [(f"greedy{number}", "greedy", LATER) for number in range(4)]
    await _run(line, *greedy, ("modest", "modest", LATER), ("shy", "shy", LATER))
    assert line.begun == ["greedy0", "greedy1", "modest", "shy", "greedy2", "greedy3"]


@pytest.mark.asyncio
async def test_no_more_runs_at_a_time_than_there_are_slots() -> None:
    line = _Line(slots=2)
    await _run(line, *((str(number), str(number), FIRST) for number in range(7)))
    assert len(line.begun) == 7
    assert line.most_running == 2
    assert line.queue.waiting == 0


@pytest.mark.asyncio
async def test_a_guess_that_turns_out_right_gets_its_turn_at_once() -> None:
    line = _Line()
    async with asyncio.TaskGroup() as group:
        for work in (
            ("running", "x", FIRST),
            ("guess of a", "a", SPECULATIVE),
            ("guess of b", "b", SPECULATIVE),
            ("later of c", "c", LATER),
        ):
            group.create_task(line.work(*work))
            await asyncio.sleep(0)
        line.queue.hurry("b")
        line.go.set()
    assert line.begun == ["running", "guess of b", "later of c", "guess of a"]


@pytest.mark.asyncio
async def test_cancelled_work_takes_no_slot_and_loses_none() -> None:
    line = _Line()
    running = asyncio.get_running_loop().create_task(line.work("running", "a", FIRST))
    waiting = asyncio.get_running_loop().create_task(line.work("waiting", "a", FIRST))
    await asyncio.sleep(0)
    assert line.queue.waiting == 1
    await cancel_and_wait(waiting)
    assert line.queue.waiting == 0
    await cancel_and_wait(running)
    line.go.set()
    await asyncio.wait_for(line.work("next", "b", SPECULATIVE), 5)
    assert line.begun == ["running", "next"]


@pytest.mark.asyncio
async def test_a_turn_that_comes_as_its_work_is_cancelled_goes_to_the_next() -> None:
    line = _Line()
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(line.work(name, name, FIRST)) for name in ("a", "b", "c")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    await cancel_and_wait(tasks[1])  # granted, and perhaps not yet begun
    line.go.set()
    await asyncio.wait_for(tasks[2], 5)
    assert line.begun[-1] == "c"
