"""Events as the room and the observer get them."""

from __future__ import annotations

import json
import logging
from typing import Any

from conversation.events.parts import ToolResult, ToolUse
from conversation.events.server_events import (
    AgentReady,
    AgentResponseToolResult,
    AgentResponseToolUseDone,
    ServerEvent,
)
from line.line import MAX_EVENT_BYTES
from session.publisher import Publisher
from untrusted.boundary import Boundary


class Room:
    """Notes what would have been sent, and refuses what a channel refuses."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, Any], int | None]] = []

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        assert len(text.encode()) <= MAX_EVENT_BYTES
        self.sent.append((json.loads(text), uid))
        return True


def _publisher(room: Room, watched: list[ServerEvent]) -> Publisher:
    return Publisher(
        room,
        agent_id="a1",
        agent_name="Ada",
        on_event=watched.append,
        boundary=Boundary(logging.getLogger("test")),
    )


def test_an_event_for_all_reaches_room_and_watcher() -> None:
    room, watched = Room(), list[ServerEvent]()
    _publisher(room, watched).publish(AgentReady)
    (event, uid), (seen,) = room.sent[0], watched
    assert (event["type"], event["agent_id"], uid) == ("agent_ready", "a1", None)
    assert seen == AgentReady(agent_id="a1", agent_name="Ada")


def test_an_event_for_one_is_not_told_to_the_watcher() -> None:
    room, watched = Room(), list[ServerEvent]()
    _publisher(room, watched).refuse(7, "invalid_event", "no")
    assert room.sent[0][1] == 7
    assert watched == []


def test_a_result_larger_than_a_message_is_told_cut() -> None:
    room, watched = Room(), list[ServerEvent]()
    result = ToolResult(id="c1", name="read", output="é" * 32_000)
    _publisher(room, watched).publish(AgentResponseToolResult, tool_result=result)
    told = room.sent[0][0]["tool_result"]["output"]
    assert told.startswith("é" * 4_000)
    assert "32000 characters" in told
    assert len(watched) == 1


def test_what_cannot_be_cut_is_left_out_and_nothing_fails() -> None:
    room, watched = Room(), list[ServerEvent]()
    use = ToolUse(id="c1", name="read", input={"numbers": list(range(20_000))})
    _publisher(room, watched).publish(
        AgentResponseToolUseDone, response_id="r", item_id="i", tool_use=use
    )
    assert room.sent == []
    assert len(watched) == 1


def test_text_that_cannot_be_encoded_is_told_mended() -> None:
    room, watched = Room(), list[ServerEvent]()
    use = ToolUse(id="c\ud83d", name="read", input={"\udc00": ["\ud83d", {"a": "b\ud83d"}]})
    _publisher(room, watched).publish(
        AgentResponseToolUseDone,
        among=[(7, {}), (8, {"is_client_tool": True})],
        response_id="r",
        item_id="i",
        tool_use=use,
    )
    mended = {"\ufffd": ["\ufffd", {"a": "b\ufffd"}]}
    assert [(uid, event["is_client_tool"]) for event, uid in room.sent] == [(7, False), (8, True)]
    assert all(event["tool_use"]["input"] == mended for event, _ in room.sent)
    assert watched[0].model_dump_json()


def test_a_watcher_or_room_that_fails_keeps_the_event_from_nobody_else() -> None:
    class NoRoom(Room):
        def send_event(self, text: str, *, uid: int | None = None) -> bool:
            raise SystemExit

    def fail(_event: ServerEvent) -> None:
        raise SystemExit

    boundary, watched = Boundary(logging.getLogger("test")), list[ServerEvent]()
    names: dict[str, Any] = {"agent_id": "a1", "agent_name": "Ada", "boundary": boundary}
    Publisher(NoRoom(), on_event=watched.append, **names).publish(AgentReady)
    assert len(watched) == 1
    room = Room()
    Publisher(room, on_event=fail, **names).publish(AgentReady)
    assert len(room.sent) == 1
    assert boundary.failures == {"hook": 2}
