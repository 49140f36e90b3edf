"""Parts of a reply that a program may end by itself: what is played, what is made, or both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conversation.events.client_events import (
    ClientResponseCancel,
    InvalidClientEventError,
    parse_client_event,
)
from realtime import events as model
from realtime.events import CancelResponse, ResponseStatus, TruncateItem
from tests.session.running import RunningSession
from tools import ToolContext

VOICE = b"\1\0" * 24_000


async def speaking(running: RunningSession) -> None:
    running.say(model.ResponseCreated("r"), model.AudioDelta("r", "i", 0, VOICE, 24_000))
    await running.until(lambda: running.channel.playout_position() is not None)


async def cancel(running: RunningSession, **fields: Any) -> list[type]:
    """What the model is sent for it."""
    await running.execute(ClientResponseCancel(**fields))
    return [type(each) for each in running.model.sent]


@pytest.mark.asyncio
async def test_playback_alone_is_cut_to_what_was_heard_and_the_model_goes_on() -> None:
    async with RunningSession(ToolContext()) as running:
        await speaking(running)
        assert await cancel(running, playback_only=True) == [TruncateItem]
        assert running.channel.playout_position() is None
        running.say(
            model.AudioDelta("r", "i", 0, VOICE, 24_000),
            model.ResponseDone("r", ResponseStatus.COMPLETED),
        )
        await running.channel.wait_event("agent_response_done")
        assert running.channel.statistics().queued_ms == 0, "nothing more of it is heard"


@pytest.mark.asyncio
async def test_generation_alone_stops_and_what_came_is_played() -> None:
    async with RunningSession(ToolContext()) as running:
        await speaking(running)
        assert await cancel(running, cancel_response_only=True) == [CancelResponse]
        assert running.model.sent == [CancelResponse("r")]
        assert running.channel.playout_position() is not None
        running.say(
            model.AudioDone("r", "i", 0),
            model.ResponseDone("r", ResponseStatus.CANCELLED, "client_cancelled"),
        )
        await running.channel.wait_event("agent_playout_done")
        assert running.session.history.items[0].status.value == "completed"


@pytest.mark.asyncio
async def test_both_are_ended_and_a_cancel_can_be_forced() -> None:
    async with RunningSession(ToolContext()) as running:
        assert await cancel(running) == []
        assert await cancel(running, force_response_cancel=True) == [CancelResponse]
        assert running.model.sent == [CancelResponse()]
        running.model.sent.clear()
        await speaking(running)
        assert await cancel(running, force_response_cancel=True) == [CancelResponse, TruncateItem]
        assert running.model.sent[0] == CancelResponse("r")


@pytest.mark.parametrize("other", ["cancel_response_only", "force_response_cancel"])
def test_contradictions_are_refused(other: str) -> None:
    message = {"type": "client_response_cancel", "playback_only": True, other: True}
    with pytest.raises(InvalidClientEventError, match="playback_only"):
        parse_client_event(json.dumps(message))
