"""Replies outside of the conversation, as the owner's code asks for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime import events as model
from realtime.events import CancelResponse, CreateResponse, OutOfBand, ResponseStatus, Usage
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.side_replies import MAX_WAITING, SideReply
from tests.session.running import RunningSession
from tools import ToolContext

VOICE = b"\1\0" * 2_400


def request(
    running: RunningSession, command: CreateResponse, **options: Any
) -> asyncio.Task[SideReply]:
    side_replies = running.session.parts.side_replies
    return asyncio.get_running_loop().create_task(side_replies.request(command, **options))


async def mark_of(running: RunningSession, number: int = 1) -> OutOfBand:
    """The mark of the request that reached the model, once it did."""

    def asked() -> list[CreateResponse]:
        return [each for each in running.model.sent if isinstance(each, CreateResponse)]

    await running.until(lambda: len(asked()) >= number)
    mark = asked()[number - 1].out_of_band
    assert mark is not None
    return mark


@pytest.mark.asyncio
async def test_its_words_calls_and_cost_come_to_the_sender_and_to_no_one_else() -> None:
    async with RunningSession(ToolContext()) as running:
        task = request(running, CreateResponse("Sum up.", metadata={"a": "b"}))
        mark = await mark_of(running)
        usage = Usage(10, 20, 30)
        running.say(
            model.ResponseCreated("r", {"a": "b"}, mark),
            model.TextDelta("r", "i", 0, "half"),
            model.TextDone("r", "i", 0, "half a word"),
            model.TranscriptDelta("r", "i", 1, "and "),
            model.TranscriptDelta("r", "i", 1, "more"),
            model.AudioDelta("r", "i", 1, VOICE, 24_000),
            model.AudioDone("r", "i", 1),
            model.ToolCallRequested("r", "i2", "c", "label", '{"mood": "good"}'),
            model.GenerationDone("r"),
            model.ResponseDone("r", ResponseStatus.COMPLETED, None, usage, {"a": "b"}, mark),
        )
        reply = await task
        assert reply == SideReply(
            ResponseStatus.COMPLETED,
            "half a word\nand more",
            calls=(model.ToolCallRequested("r", "i2", "c", "label", '{"mood": "good"}'),),
            metadata={"a": "b"},
            usage=usage,
        )
        assert not running.session.history.items
        assert running.channel.statistics().queued_ms == 0, "nothing is spoken unless asked for"
        counted = running.session.parts.limit_enforcer.limits
        assert counted.tokens == 30
        types = [event["type"] for event, _ in running.channel.sent]
        assert types == ["agent_response_created", "agent_response_done"]
        assert all(event["is_out_of_band"] for event, _ in running.channel.sent)
        assert running.channel.sent[1][0]["metadata"] == {"a": "b"}
        await running.require_answers("hello")


@pytest.mark.asyncio
async def test_a_spoken_one_is_played_and_silenced_but_not_remembered() -> None:
    async with RunningSession(ToolContext()) as running:
        task = request(running, CreateResponse("One moment."), is_spoken=True)
        mark = await mark_of(running)
        assert mark.is_spoken
        running.say(
            model.ResponseCreated("r", out_of_band=mark),
            model.AudioDelta("r", "i", 0, VOICE * 20, 24_000),
        )
        await running.until(lambda: running.channel.playout_position() is not None)
        await running.session.parts.turn_handler.interrupt()
        assert CancelResponse("r") in running.model.sent
        assert not any(isinstance(each, model.TruncateItem) for each in running.model.sent)
        running.say(
            model.AudioDelta("r", "i", 0, VOICE, 24_000),
            model.AudioDone("r", "i", 0),
            model.ResponseDone("r", ResponseStatus.CANCELLED, out_of_band=mark),
        )
        assert (await task).status is ResponseStatus.CANCELLED
        assert running.channel.statistics().queued_ms == 0
        assert not running.session.history.items
        assert not [each for each in running.published if each.type == "agent_interrupted"]


@pytest.mark.asyncio
async def test_a_silent_one_goes_on_while_a_user_interrupts() -> None:
    async with RunningSession(ToolContext()) as running:
        task = request(running, CreateResponse("Sum up."))
        mark = await mark_of(running)
        running.say(model.ResponseCreated("main"), model.ResponseCreated("r", out_of_band=mark))
        await running.until(lambda: running.session.parts.side_replies.has("r"))
        await running.session.parts.turn_handler.interrupt()
        assert [each for each in running.model.sent if isinstance(each, CancelResponse)] == [
            CancelResponse("main")
        ]
        running.say(model.ResponseDone("r", ResponseStatus.COMPLETED, out_of_band=mark))
        assert (await task).text == ""


@pytest.mark.asyncio
async def test_one_of_a_lost_session_begins_again() -> None:
    async with RunningSession(ToolContext()) as running:
        task = request(running, CreateResponse("Sum up."))
        mark = await mark_of(running)
        failed = ResponseStatus.FAILED
        running.say(
            model.ResponseCreated("r", out_of_band=mark),
            model.TextDelta("r", "i", 0, "half"),
            model.ResponseDone("r", failed, "connection_lost", out_of_band=mark),
            model.ResponseCreated("r2", out_of_band=mark),
            model.TextDone("r2", "i2", 0, "whole"),
            model.ResponseDone("r2", ResponseStatus.COMPLETED, out_of_band=mark),
        )
        assert (await task).text == "whole"


@pytest.mark.asyncio
async def test_a_late_one_is_cancelled_and_never_spoken() -> None:
    async with RunningSession(ToolContext()) as running:
        task = request(running, CreateResponse("Sum up."), is_spoken=True, timeout_s=0.01)
        mark = await mark_of(running)
        with pytest.raises(TimeoutError):
            await task
        running.say(
            model.ResponseCreated("r", out_of_band=mark),
            model.AudioDelta("r", "i", 0, VOICE, 24_000),
            model.ResponseDone("r", ResponseStatus.COMPLETED, out_of_band=mark),
        )
        await running.channel.wait_event("agent_response_done")
        assert CancelResponse("r") in running.model.sent
        assert running.channel.statistics().queued_ms == 0
        begun = request(running, CreateResponse("Sum up."), timeout_s=0.05)
        running.say(model.ResponseCreated("r2", out_of_band=await mark_of(running, 2)))
        with pytest.raises(TimeoutError):
            await begun
        assert CancelResponse("r2") in running.model.sent


@pytest.mark.asyncio
async def test_too_many_are_refused_and_the_end_of_the_model_ends_them() -> None:
    async with RunningSession(ToolContext()) as running:
        tasks = [request(running, CreateResponse()) for _ in range(MAX_WAITING)]
        await mark_of(running, MAX_WAITING)
        with pytest.raises(UnsupportedCommandError, match="waited for"):
            await request(running, CreateResponse())
        running.say(model.SessionEnded("lost"))
        for task in tasks:
            with pytest.raises(ModelDisconnectedError):
                await task


@pytest.mark.asyncio
async def test_raw_events_reach_listeners_and_a_failing_one_harms_none() -> None:
    heard: list[str] = []

    def fail(_event: model.RawEventReceived) -> None:
        raise RuntimeError("odd")

    async with RunningSession(ToolContext()) as running:
        listeners = running.session.parts.event_forwarder.raw_listeners
        listeners += [fail, lambda event: heard.append(event.type)]
        running.say(model.RawEventReceived("a.b", {"type": "a.b"}))
        await running.until(lambda: bool(heard))
        assert heard == ["a.b"]
        assert not running.channel.sent
        await running.require_answers("hello")
