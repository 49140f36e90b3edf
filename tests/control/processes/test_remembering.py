from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from control.processes.link import Forget, Remember
from control.processes.remembering import Changes, Remembering
from conversation.remembered import ConversationSeed, RememberedEntry, RememberedText
from conversation.server_events import AgentPlayoutDone
from utils import cancel_and_wait


def said(number: int, text: str) -> RememberedText:
    return RememberedText(number=number, role="user", text=text)


def test_only_what_changed_is_told() -> None:
    changes = Changes(ConversationSeed(entries=(said(0, "a"),)))
    assert changes.since_last([said(0, "a")]) == []
    assert changes.since_last([said(0, "a"), said(1, "b")]) == [Remember(entry=said(1, "b"))]
    assert changes.since_last([said(0, "a"), said(1, "bc")]) == [Remember(entry=said(1, "bc"))]
    assert changes.since_last([said(0, "a"), said(1, "bc")]) == []


def test_what_is_taken_back_is_told_and_what_is_only_old_is_not() -> None:
    changes = Changes(None)
    changes.since_last([said(0, "a"), said(1, "b"), said(2, "c")])
    assert changes.since_last([said(1, "b"), said(2, "c")]) == []
    assert changes.since_last([said(1, "b"), said(3, "d")]) == [
        Forget(number=2),
        Remember(entry=said(3, "d")),
    ]
    assert changes.since_last([]) == []


@pytest.mark.asyncio
async def test_turn_boundaries_are_told_at_once() -> None:
    told: asyncio.Queue[BaseModel] = asyncio.Queue()
    conversation: list[RememberedEntry] = []
    remembering = Remembering(None, told.put_nowait)
    running = asyncio.get_running_loop().create_task(remembering.run(lambda: conversation))
    try:
        conversation.append(said(0, "hello"))
        remembering.handle_event(
            AgentPlayoutDone(agent_id="a", agent_name="A", response_id="r", item_id="i")
        )
        async with asyncio.timeout(5):
            assert await told.get() == Remember(entry=said(0, "hello"))
            # What is heard meanwhile follows by itself.
            conversation[0] = said(0, "hello there")
            assert await told.get() == Remember(entry=said(0, "hello there"))
    finally:
        await cancel_and_wait(running)


@pytest.mark.asyncio
async def test_the_last_of_it_is_told_and_nothing_after() -> None:
    told: list[BaseModel] = []
    conversation: list[RememberedEntry] = [said(0, "all that was heard")]
    remembering = Remembering(None, told.append)
    running = asyncio.get_running_loop().create_task(remembering.run(lambda: conversation))
    remembering.finish(conversation)
    assert told == [Remember(entry=said(0, "all that was heard"))]
    # What is played is cut off now; it was heard all the same.
    conversation[0] = said(0, "all")
    async with asyncio.timeout(5):
        await running
    assert len(told) == 1
