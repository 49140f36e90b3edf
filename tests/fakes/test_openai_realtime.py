"""The fake is faithful: the official package accepts all it says and can hold a conversation."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from realtime import struct as wire
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_frames import Frame
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults, tone

ADAPTER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeRealtimeServer]:
    async with FakeRealtimeServer() as running:
        yield running
        for session in running.sessions:
            for sent in session.sent:
                ADAPTER.validate_python(sent.frame, strict=True)


async def until(connection: AsyncRealtimeConnection, event_type: str) -> list[Any]:
    """Everything up to the first event of this type."""
    seen = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in connection:
            seen.append(event)
            if event.type == event_type:
                return seen
    raise AssertionError(f"no {event_type} came")


def types(session: FakeSession, since: int) -> list[str]:
    return [event.type for event in session.sent[since:]]


def client_of(server: FakeRealtimeServer) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="k", base_url=server.uri.replace("ws:", "http:") + "/v1")


@pytest.mark.asyncio
async def test_official_client_holds_a_conversation(server: FakeRealtimeServer) -> None:
    pcm = tone(250)
    async with client_of(server) as client, client.realtime.connect(model="m") as connection:
        session = await server.next_session()
        session.reply_with = lambda each: each.say(pcm, "Good day to you.")
        await connection.session.update(session={"type": "realtime", "instructions": "Be kind."})
        await until(connection, "session.updated")
        await connection.input_audio_buffer.append(audio=base64.b64encode(tone(200)).decode())
        await session.wait_for("input_audio_buffer.append")
        item_id = await session.speech_started()
        since = len(session.sent)
        await session.speech_stopped(item_id, "Good morning.")
        seen = await until(connection, "rate_limits.updated")
    assert types(session, since) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        *["response.output_audio_transcript.delta", "response.output_audio.delta"] * 3,
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    heard = [event.delta for event in seen if event.type == "response.output_audio.delta"]
    assert b"".join(base64.b64decode(delta) for delta in heard) == pcm
    assert len(session.audio) == len(tone(200))


@pytest.mark.asyncio
async def test_official_client_answers_a_tool_call(server: FakeRealtimeServer) -> None:
    async with client_of(server) as client, client.realtime.connect(model="m") as connection:
        session = await server.next_session()
        since = len(session.sent)
        call_id = await session.call_tool("add", {"a": 1})
        await until(connection, "response.done")
        item = {"type": "function_call_output", "call_id": call_id, "output": "2"}
        await connection.conversation.item.create(item=item)  # type: ignore[arg-type]
        session.reply_with = lambda each: each.say(tone(40), "Two.")
        await connection.response.create()
        await until(connection, "response.output_audio_transcript.done")
        await connection.response.cancel()
        await until(connection, "response.done")
    assert types(session, since)[:10] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


@pytest.mark.asyncio
async def test_a_cut_reply_ends_as_cut_with_late_audio(server: FakeRealtimeServer) -> None:
    server.faults = Faults(late_deltas=2)
    async with client_of(server) as client, client.realtime.connect(model="m") as connection:
        session = await server.next_session()
        session.reply_with = lambda each: each.say(tone(3000), "a long story", pace=1.0)
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.create()
        await connection.response.cancel()
        seen = await until(connection, "response.done")
        await connection.response.cancel()
        seen += await until(connection, "error")
    assert [e.error.code for e in seen if e.type == "error"] == [
        "conversation_already_has_active_response",
        "response_cancel_not_active",
    ]
    assert [e.type for e in seen].count("response.output_audio.delta") == 2
    done = next(event.response for event in seen if event.type == "response.done")
    assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
    assert done.output[0].status == "incomplete"


@pytest.mark.asyncio
async def test_everything_else_is_answered(server: FakeRealtimeServer) -> None:
    async with client_of(server) as client, client.realtime.connect(model="m") as connection:
        session = await server.next_session()
        await connection.input_audio_buffer.commit()
        await connection.input_audio_buffer.append(audio=base64.b64encode(tone(100)).decode())
        await connection.input_audio_buffer.commit()
        await connection.input_audio_buffer.clear()
        await connection.conversation.item.retrieve(item_id="x")
        await connection.conversation.item.truncate(item_id="x", content_index=0, audio_end_ms=1)
        await connection.conversation.item.delete(item_id="x", event_id="mine")
        await connection.send({"type": "session.sing"})  # type: ignore[arg-type]
        seen = []
        for _ in range(5):
            seen += await until(connection, "error")
    assert [event.type for event in seen] == [
        "session.created",
        "error",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.cleared",
        "error",
        "error",
        "error",
        "error",
    ]
    codes = [event.error.code for event in seen if event.type == "error"]
    assert codes == [
        "input_audio_buffer_commit_empty",
        "item_retrieve_invalid_item_id",
        "item_truncate_invalid_item_id",
        "item_delete_invalid_item_id",
        "invalid_value",
    ]
    assert seen[-2].error.event_id == "mine"
    stamps = [event.at_s for event in session.sent]
    assert stamps == sorted(stamps)


@pytest.mark.asyncio
async def test_our_own_reader_knows_every_frame_it_sends(server: FakeRealtimeServer) -> None:
    frames: list[Frame] = []
    async with client_of(server) as client, client.realtime.connect(model="m") as connection:
        session = await server.next_session()
        await session.say(tone(40), "hi")
        await session.call_tool("add", {})
        await session.fail("invalid_value")
        await until(connection, "error")
        frames = [event.frame for event in session.sent]
    for frame in frames:
        message = wire.parse_server_event(json.dumps(frame))
        assert not isinstance(message, wire.UnknownEvent)
        # Nothing is lost on the way through our types but what no type knows.
        again = wire.parse_server_event(wire.serialize(message))
        assert again == message
