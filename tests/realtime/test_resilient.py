"""A conversation goes on whatever happens to its sessions: every fault over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime.events import ConnectionStatus
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.realtime.lasting import frame_numbers, got_frames, numbered, talking, told


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeRealtimeServer]:
    async with FakeRealtimeServer() as running:
        yield running


@pytest.mark.asyncio
async def test_a_session_without_trouble_is_passed_through(server: FakeRealtimeServer) -> None:
    async with talking(server) as (talk, session):
        await talk.speak(numbered(0, 5))
        assert await got_frames(session, 4) == [0, 1, 2, 3, 4]
        await talk.model.send(ours.AddText("hello", item_id="item_mine"))
        await talk.model.send(ours.CreateResponse())
        await session.wait_for("response.create")
        await session.say(tone(100), "good day")
        await talk.until(ours.ResponseDone)
        kinds = [type(event) for event in talk.seen]
        assert kinds[:2] == [ours.ConnectionChanged, ours.SessionOpened]
        assert len(talk.all_of(ours.ConnectionChanged)) == 1
        assert len(server.sessions) == 1


@pytest.mark.asyncio
async def test_a_drop_in_the_middle_of_the_users_words_loses_none_of_them(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server) as (talk, first):
        await talk.speak(numbered(0, 100))
        await got_frames(first, 99)
        item_id = await first.speech_started(audio_start_ms=1500)
        await talk.until(ours.SpeechStarted)
        await talk.speak(numbered(100, 50))
        await first.drop()
        await talk.until_status(ConnectionStatus.RECONNECTING)
        await talk.speak(numbered(150, 50))
        second = await server.next_session()
        frames = await got_frames(second, 199)
        assert frames[0] <= 75, "told again from the beginning of the turn"
        assert frames == list(range(frames[0], 200)), "in order, none left out"
        assert frame_numbers(bytes(first.audio))[:100] == list(range(100))
        stopped = await talk.until(ours.SpeechStopped)
        assert stopped.item_id == item_id
        await talk.until_status(ConnectionStatus.OPEN, 2)
        assert not talk.all_of(ours.SessionEnded)
        assert talk.model.statistics.dropped_samples == 0


@pytest.mark.asyncio
async def test_a_drop_in_the_middle_of_a_reply_lets_it_go_on(server: FakeRealtimeServer) -> None:
    async with talking(server) as (talk, first):
        spoken = await first.speech_started()
        await first.speech_stopped(spoken, "tell me a story")
        await talk.until(ours.InputTranscriptDone)
        saying = asyncio.get_running_loop().create_task(
            first.say(tone(2000), "once upon a time there was a king", pace=1.0)
        )
        await talk.until(ours.AudioDelta, 4)
        await first.drop()
        done = await talk.until(ours.ResponseDone)
        assert (done.status, done.reason) == (ours.ResponseStatus.FAILED, "connection_lost")
        assert talk.all_of(ours.AudioDone), "what came of the voice is ended, so it plays out"
        second = await server.next_session()
        request = await second.wait_for("response.create")
        assert "response" not in request
        lines = told(second)
        assert lines[0] == "user: tell me a story"
        assert lines[1].startswith("assistant: once upon a time")
        assert lines[1].endswith(" …")
        assert lines[2].startswith("system: The connection broke")
        assert len(lines) == 3
        await asyncio.wait([saying])
