"""Every turn of a real call is measured, and told to the people in it."""

from __future__ import annotations

import asyncio

import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.stage import Stage, soon
from tests.loopback.test_interruption import is_loud, open_scene

ENDPOINT_S = 0.2
MODEL_S = 0.3
QUIET_BYTES = 48 * 200


async def quiet(session: FakeSession) -> None:
    """Until the last 0.2 s of what the model heard are silent."""
    while is_loud(bytes(session.audio[-QUIET_BYTES:])):
        appends = len(session.all_of("input_audio_buffer.append"))
        await session.wait_for("input_audio_buffer.append", appends + 1)


async def answer_late(session: FakeSession) -> None:
    await asyncio.sleep(MODEL_S)
    await session.say(tone(300), "late")


@pytest.mark.asyncio
async def test_a_spoken_turn_is_told_with_its_steps() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage)
        scene.session.reply_with = answer_late
        await scene.make_sound(400)
        item_id = await scene.session.speech_started()
        # The voice ends, and that much later the provider finds out.
        await soon(quiet(scene.session))
        await asyncio.sleep(ENDPOINT_S)
        await scene.session.speech_stopped(item_id, "How late is it?")
        event = await scene.person.wait_event("agent_turn_measured")
        timings = event["timings"]
        assert timings["turn"] == 1
        assert timings["speech_end_to_endpoint_ms"] >= ENDPOINT_S * 1000 - 100
        assert timings["endpoint_to_first_byte_ms"] >= MODEL_S * 1000 - 20
        assert timings["first_byte_to_first_audio_ms"] >= 0
        assert [one.type for one in stage.published].count("agent_turn_measured") == 1


@pytest.mark.asyncio
async def test_a_written_turn_and_one_by_hand_are_measured_too() -> None:
    async with Stage() as stage:
        session = await stage.start(turn_detection={"type": "none"})
        session.reply_with = answer_late
        person = await stage.join()
        person.send(type="client_text_append", text="How late is it?")
        written = await person.wait_event("agent_turn_measured")
        assert written["timings"]["speech_end_to_endpoint_ms"] is None
        assert written["timings"]["endpoint_to_first_byte_ms"] >= MODEL_S * 1000 - 20
        await person.wait_event("agent_playout_done")
        person.send(type="client_activity_start")
        await session.wait_for("input_audio_buffer.clear")
        person.channel.push_audio_frame(tone(300), key="question")
        await session.wait_for("input_audio_buffer.append", 12)
        person.send(type="client_activity_end")
        by_hand = await person.wait_event("agent_turn_measured", 2)
        assert by_hand["timings"]["turn"] == 2
        assert by_hand["timings"]["endpoint_to_first_byte_ms"] >= MODEL_S * 1000 - 20


@pytest.mark.asyncio
async def test_media_of_people_who_left_stays_counted() -> None:
    async with Stage() as stage:
        session = await stage.start(rejoin_grace_s=60.0)
        person = await stage.join()
        person.channel.push_audio_frame(tone(300), key="words")
        await session.say(tone(300), "one")
        await person.wait_event("agent_playout_done")
        await session.wait_for("input_audio_buffer.append", 12)
        assert stage.agent is not None
        during = stage.agent.vitals()
        assert during.media.packets_received >= 12
        assert during.media.packets_sent >= 12
        assert during.jitter_delay_ms is not None
        await person.leave()
        async with asyncio.timeout(DEADLINE_S):
            while stage.agent.vitals().users:  # noqa: ASYNC110 - a look, there is no event
                await asyncio.sleep(0.02)
        after = stage.agent.vitals()
        assert after.media.packets_received >= during.media.packets_received
        assert after.jitter_delay_ms is None
