"""What people write in the room's chat is a turn."""

from __future__ import annotations

import asyncio
import json

import pytest

from conversation.events.client_events import ClientTextAppend
from conversation.lifecycle import ExitReason
from rtc.channel import ChatMessage
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from session import requests
from tests.fakes.openai_frames import Reply
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.stage import Person, Stage, soon


def texts(session: FakeSession) -> list[str]:
    items = (event["item"] for event in session.all_of("conversation.item.create"))
    return [item["content"][0]["text"] for item in items]


async def write(person: Person, text: str) -> None:
    await person.channel.chat.send_message(ChatMessage(text))


@pytest.mark.asyncio
async def test_a_message_in_the_room_is_answered() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        heard: asyncio.Queue[str] = asyncio.Queue()
        person.channel.on("message", lambda message, _uid: heard.put_nowait(message.text))
        await write(person, "what is the weather like?")
        await session.wait_for("response.create")
        assert texts(session) == ["what is the weather like?"]
        told = await person.wait_event("agent_input_transcription_done")
        assert (told["transcript"], told["uid"]) == ("what is the weather like?", 7)
        assert told["is_posted"] is True
        await session.say(b"", "sunny")
        await person.wait_event("agent_response_audio_transcript_done")
        assert "weather" not in await soon(heard.get()), (
            "what somebody wrote there is not written there again"
        )


@pytest.mark.asyncio
async def test_what_agents_write_and_what_is_blank_is_no_turn() -> None:
    """Two agents of one room would talk about their transcripts for ever."""
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        options = RtcOptions(channel_name="demo", uid=2000, role="agent", name="another")
        other = RtcEngine(stage.room_url).create_channel(options)
        await other.connect()
        try:
            await other.chat.send_message(ChatMessage('{"kind": "transcript", "text": "hi"}'))
            await write(person, "  \n ")
            await write(person, "hello")
            await session.wait_for("response.create")
            assert texts(session) == ["hello"]
        finally:
            await other.disconnect()


@pytest.mark.asyncio
async def test_an_agent_may_leave_people_to_themselves() -> None:
    async with Stage() as stage:
        session = await stage.start(reads_chat=False)
        person = await stage.join()
        await write(person, "between us")
        person.send(type="client_text_append", text="to you")
        await session.wait_for("response.create")
        assert texts(session) == ["to you"]


@pytest.mark.asyncio
@pytest.mark.parametrize("posts_deltas", [True, False])
async def test_growing_transcripts_are_posted_where_the_start_says_so(posts_deltas: bool) -> None:
    async with Stage() as stage:
        session = await stage.start(posts_deltas=posts_deltas)
        person = await stage.join()
        messages: asyncio.Queue[ChatMessage] = asyncio.Queue()
        person.channel.on("message", lambda message, _uid: messages.put_nowait(message))
        reply = Reply()
        await session.send(reply.begin(), *reply.begin_speech(), reply.words("one two"))
        posted = [await soon(messages.get())] if posts_deltas else []
        await session.send(reply.words(" three"), reply.audio(tone(100)), *reply.end_speech())
        while not posted or json.loads(posted[-1].text)["kind"] != "transcript":
            posted.append(await soon(messages.get()))
        assert {message.message_id for message in posted} == {reply.item_id}
        texts = [json.loads(message.text) for message in posted]
        assert texts[-1] == {"kind": "transcript", "role": "agent", "text": "one two three"}
        deltas = [(each["kind"], each["role"], each["text"]) for each in texts[:-1]]
        expected = [("transcript_delta", "agent", text) for text in ("one two", " three")]
        assert deltas == (expected if posts_deltas else [])


@pytest.mark.asyncio
async def test_a_picture_that_is_too_large_is_refused_with_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Ours would not send it; a browser sends up to 64 KiB.
    monkeypatch.setattr("rtc.channel.MAX_EVENT_BYTES", 64 * 1024)
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        person.send(type="client_image_append", image="A" * 62_000)
        refused = await person.wait_event("agent_error")
        assert (refused["code"], refused["error_type"]) == ("invalid_event", "client")
        assert "at most 61440 bytes" in refused["message"]
        assert session.all_of("conversation.item.create") == []


@pytest.mark.asyncio
async def test_a_message_that_fails_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        with monkeypatch.context() as broken:
            broken.setattr(requests, "AddText", None)
            await write(person, "one")
            assert (await person.wait_event("agent_error"))["code"] == "internal_error"
        await write(person, "two")
        await session.wait_for("response.create")
        assert texts(session) == ["two"]
        assert stage.agent is not None
        assert stage.agent.vitals().input_failures.chat == 1


@pytest.mark.asyncio
async def test_who_only_writes_from_outside_keeps_the_agent() -> None:
    async with Stage() as stage:
        running = stage.run(user_wait_s=0.4)
        session = await stage.provider.next_session()
        assert stage.agent is not None
        began_s = asyncio.get_running_loop().time()
        await soon(stage.wait_ready())
        for number in range(5):
            await stage.agent.execute(ClientTextAppend(text=f"question {number}"))
            await asyncio.sleep(0.2)
        assert not running.done()
        assert len(texts(session)) == 5
        assert await stage.ended() is ExitReason.NO_USER
        assert asyncio.get_running_loop().time() - began_s > 1.2
