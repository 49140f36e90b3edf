"""Provider events that reach clients: session, items, silence, and events without a name here."""

from __future__ import annotations

from typing import Any

import pytest

from realtime import events as model
from realtime.events import ModelEvent
from tests.session.running import RunningSession
from tools import ToolContext

HANDLE = "handle-7f3a"


async def published(*events: ModelEvent, **config: Any) -> list[dict[str, Any]]:
    """Everything the room got up to the end of a response that follows these events."""
    async with RunningSession(ToolContext(), **config) as running:
        running.say(*events, model.ResponseDone("last", model.ResponseStatus.COMPLETED))
        await running.channel.wait_event("agent_response_done")
        sent = [event for event, to in running.channel.sent if to is None]
    return [event for event in sent if event["type"] != "agent_response_done"]


def fields(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if not name.startswith("agent_")}


@pytest.mark.asyncio
async def test_an_end_to_come_and_a_resumption_reach_clients_without_the_handle() -> None:
    events = await published(
        model.GoAwayReceived(5_000),
        model.GoAwayReceived(),
        model.ResumptionUpdated(HANDLE),
        model.ResumptionUpdated(None),
    )
    assert events == [
        {"type": "server_session_go_away", "time_left_ms": 5_000},
        {"type": "server_session_go_away", "time_left_ms": None},
        {"type": "server_session_resumption_updated", "is_resumable": True},
        {"type": "server_session_resumption_updated", "is_resumable": False},
    ]
    assert HANDLE not in str(events)


@pytest.mark.asyncio
async def test_items_of_the_room_and_silence_reach_clients() -> None:
    events = await published(
        model.ItemAdded("u", "message", "user"),
        model.ItemAdded("a", "message", "assistant", "r"),
        model.ItemAdded("note", "message", "system"),
        model.ItemAdded("call", "function_call", None, "r"),
        model.ItemDeleted("u"),
        model.InputTimeoutTriggered("t", 10, 5_010),
    )
    assert [fields(event) for event in events] == [
        {"type": "agent_item_added", "item_id": "u", "role": "user", "response_id": None},
        {"type": "agent_item_added", "item_id": "a", "role": "assistant", "response_id": "r"},
        {"type": "agent_item_deleted", "item_id": "u"},
        {
            "type": "agent_input_timeout_triggered",
            "item_id": "t",
            "audio_start_ms": 10,
            "audio_end_ms": 5_010,
        },
    ]


@pytest.mark.asyncio
async def test_unknown_provider_events_reach_clients_only_where_the_start_says_so() -> None:
    event = model.UnknownEventReceived("session.mystery", {"level": 3})
    assert await published(event) == []
    (shown,) = await published(event, shows_provider_events=True)
    assert fields(shown) == {
        "type": "agent_provider_event",
        "provider_type": "session.mystery",
        "data": {"level": 3},
    }


@pytest.mark.asyncio
async def test_words_carry_what_they_were_billed_for_and_failures_are_told() -> None:
    events = await published(
        model.InputTranscriptDone("u", "hello", input_tokens=12, output_tokens=3),
        model.InputTranscriptDone("v", "again"),
        model.InputTranscriptFailed("w", "too quiet"),
    )
    done = [event for event in events if event["type"] == "agent_input_transcription_done"]
    assert [(each["input_tokens"], each["output_tokens"]) for each in done] == [
        (12, 3),
        (None, None),
    ]
    (failed,) = [event for event in events if event["type"] == "agent_input_transcription_failed"]
    assert (failed["item_id"], failed["message"]) == ("w", "too quiet")


@pytest.mark.asyncio
async def test_a_reply_carries_the_labels_that_it_was_requested_with() -> None:
    labels = {"topic": "weather"}
    async with RunningSession(ToolContext()) as running:
        completed = model.ResponseStatus.COMPLETED
        running.say(model.ResponseDone("r", completed, metadata=labels))
        await running.channel.wait_event("agent_response_done")
        (event,) = [each for each, _ in running.channel.sent if "metadata" in each]
    assert event["metadata"] == labels
