from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from control.child.conversation_sync import Changes, ConversationSync
from control.ipc.link import Forget, Remember
from conversation.events.server_events import AgentPlayoutDone
from conversation.snapshot import ResumeState, SnapshotEntry, SnapshotText
from utils import cancel_and_wait


def said(number: int, text: str) -> SnapshotText:
    return SnapshotText(number=number, role="user", text=text)


def test_only_changes_are_sent() -> None:
    changes = Changes(ResumeState(entries=(said(0, "a"),)))
    assert changes.since_last([said(0, "a")]) == []
    assert changes.since_last([said(0, "a"), said(1, "b")]) == [Remember(entry=said(1, "b"))]
    assert changes.since_last([said(0, "a"), said(1, "bc")]) == [Remember(entry=said(1, "bc"))]
    assert changes.since_last([said(0, "a"), said(1, "bc")]) == []


def test_a_removed_entry_is_sent_and_an_old_one_is_not() -> None:
    changes = Changes(None)
    changes.since_last([said(0, "a"), said(1, "b"), said(2, "c")])
    assert changes.since_last([said(1, "b"), said(2, "c")]) == []
    assert changes.since_last([said(1, "b"), said(3, "d")]) == [
        Forget(number=2),
        Remember(entry=said(3, "d")),
    ]
    assert changes.since_last([]) == []


@pytest.mark.asyncio
async def test_changes_at_turn_boundaries_are_sent_at_once() -> None:
    told: asyncio.Queue[BaseModel] = asyncio.Queue()
    conversation: list[SnapshotEntry] = []
    remembering = ConversationSync(None, told.put_nowait)
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
async def test_the_last_changes_are_sent_and_nothing_after() -> None:
    told: list[BaseModel] = []
    conversation: list[SnapshotEntry] = [said(0, "all that was heard")]
    remembering = ConversationSync(None, told.append)
    running = asyncio.get_running_loop().create_task(remembering.run(lambda: conversation))
    remembering.finish(conversation)
    assert told == [Remember(entry=said(0, "all that was heard"))]
    # What is played is cut off now; it was heard all the same.
    conversation[0] = said(0, "all")
    async with asyncio.timeout(5):
        await running
    assert len(told) == 1
