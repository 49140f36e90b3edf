"""A caller who sends silence as packets: the model gets it in batches, where none of it matters."""

from __future__ import annotations

import asyncio
import base64

import pytest

from conversation.events.commands import Update
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeSession, tone
from tests.fakes.relayed_call import answering_room, calling_through
from tests.fakes.udp_relay import UdpRelay
from tests.loopback.stage import Stage

APPEND = "input_audio_buffer.append"
FRAME_BYTES = 960
DETECTION = {"type": "server_vad", "silence_duration_ms": 200}


def _appended(session: FakeSession, since: int = 0) -> list[bytes]:
    """The user's audio, message by message."""
    return [base64.b64decode(each["audio"]) for each in session.all_of(APPEND)[since:]]


async def _until_in_batches(session: FakeSession, frames: range = range(4, 100)) -> None:
    """Until each of several messages in a row holds so many frames."""
    async with asyncio.timeout(DEADLINE_S):
        count = 0
        while count < 4 or any(
            len(pcm) // FRAME_BYTES not in frames for pcm in _appended(session)[-4:]
        ):
            count = len(session.all_of(APPEND))
            await session.wait_for(APPEND, count + 1)


def _held_after_s(stage: Stage) -> list[float | None]:
    """After how much silence each person's frames may wait for one another."""
    assert stage.agent is not None
    return [audio._hold.after_s for audio in stage.channel._audio.values()]


@pytest.mark.asyncio
async def test_the_silence_of_a_caller_comes_in_batches_until_somebody_else_is_there() -> None:
    async with Stage() as stage, UdpRelay() as relay:
        session = await stage.start(turn_detection=DETECTION)
        async with calling_through(relay, answering_room(stage.room_url, "demo")) as track:
            await _until_in_batches(session)
            await track.say(tone(300))
            await session.wait_loud(250)
            await _until_in_batches(session)
            assert _held_after_s(stage) == [1.0]
            person = await stage.join(8)
            person.channel.push_audio_frame(tone(100))
            await session.wait_loud(330)
            assert _held_after_s(stage) == [None, None]
            await person.leave()
            await _until_in_batches(session)
            assert _held_after_s(stage) == [1.0]


@pytest.mark.asyncio
async def test_batches_of_silence_are_larger_while_the_agent_saves_work() -> None:
    async with Stage() as stage, UdpRelay() as relay:
        session = await stage.start(turn_detection=DETECTION)
        assert stage.agent is not None
        async with calling_through(relay, answering_room(stage.room_url, "demo")) as track:
            await _until_in_batches(session, range(3, 8))
            assert not stage.agent.vitals().is_saving_work
            stage.agent.save_work(is_wanted=True)
            await _until_in_batches(session, range(8, 14))
            assert stage.agent.vitals().is_saving_work
            # Speech is not delayed by it: it comes frame by frame.
            before = len(session.all_of(APPEND))
            await track.say(tone(300))
            await session.wait_loud(250)
            await _until_in_batches(session, range(1, 3))
            assert len(session.all_of(APPEND)) - before > 10
            stage.agent.save_work(is_wanted=False)
            await _until_in_batches(session, range(3, 8))


@pytest.mark.asyncio
async def test_nothing_waits_where_turns_are_ended_by_hand() -> None:
    async with Stage() as stage:
        await stage.start(turn_detection={"type": "none"})
        person = await stage.join()
        await person.wait_event("agent_ready")
        assert _held_after_s(stage) == [None]


@pytest.mark.asyncio
async def test_another_turn_detection_is_heeded_from_then_on() -> None:
    async with Stage() as stage:
        session = await stage.start(turn_detection=DETECTION)
        person = await stage.join()
        await person.wait_event("agent_ready")
        assert _held_after_s(stage) == [1.0]
        assert stage.agent is not None
        await stage.agent.execute(
            Update(turn_detection={"type": "server_vad", "silence_duration_ms": 3000})
        )
        person.channel.push_audio_frame(tone(100))
        await session.wait_loud(50)
        assert _held_after_s(stage) == [3.3]
