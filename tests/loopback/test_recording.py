"""A call is recorded as it was heard: both sides in place, cut where the voice was cut."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.openai_realtime import tone
from tests.loopback.loop_watch import watching_loop
from tests.loopback.stage import Stage, soon
from tests.recordings import Recording
from tests.rtc.sound import has_tone

# How far a machine may be late that is not held up; docs/recording.md says what was measured.
LATE_MS = 250
# What a listener needs for a frame, what the codec holds back, and the fade.
CUT_MS = 35
# Made beforehand: it takes long, and the call would stand still meanwhile.
QUESTION, ANSWER, LONG = tone(600, hz=440), tone(500, hz=880), tone(5_000)
FIRST, SECOND = tone(400, hz=440), tone(400, hz=880)


def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


async def recorded(stage: Stage, directory: Path) -> Recording:
    """The recording of the stage's call, which is over then."""
    assert stage.agent is not None
    stage.agent.stop()
    await stage.ended()
    return Recording.read(directory / "a1.wav")


@pytest.mark.asyncio
async def test_both_sides_are_kept_at_the_time_they_were_heard(tmp_path: Path) -> None:
    async with Stage() as stage, watching_loop() as watch:
        session = await stage.start(recordings_dir=tmp_path)
        person = await stage.join()
        asked_ms = now_ms()
        person.channel.push_audio_frame(QUESTION, key="words")
        person.channel.finish_audio("words")
        await session.wait_loud(500)
        answered_ms = now_ms()
        await session.say(ANSWER, "yes")
        await person.wait_event("agent_playout_done")
        call = await recorded(stage, tmp_path)
        # A hold-up of the machine is bridged with up to 100 ms of the same sound, and caught up with.
        late_ms = watch.held_up_ms
        assert call.left.total_ms == pytest.approx(600, abs=100 + late_ms)
        assert call.right.total_ms == pytest.approx(500, abs=25)
        question, answer = call.left.spurts_ms[0], call.right.spurts_ms[0]
        assert has_tone(call.left.samples.tobytes(), 440, 24_000)
        assert not has_tone(call.left.samples.tobytes(), 880, 24_000)
        assert call.right.pitch_hz(*answer) == pytest.approx(880, abs=5)
        assert answer[0] - question[0] == pytest.approx(
            answered_ms - asked_ms, abs=LATE_MS + late_ms
        )


@pytest.mark.asyncio
async def test_a_cut_reply_ends_where_it_was_cut(tmp_path: Path) -> None:
    async with Stage() as stage:
        session = await stage.start(recordings_dir=tmp_path)
        person = await stage.join()
        assert stage.agent is not None
        saying = asyncio.get_running_loop().create_task(session.say(LONG, "long"))
        await person.wait_loud(600)
        await session.speech_started()
        heard = await person.wait_event("agent_interrupted")
        await soon(saying)
        on_its_way_ms = stage.channel.statistics().users[7].heard_after_ms
        assert on_its_way_ms is not None
        call = await recorded(stage, tmp_path)
        beyond_ms = call.right.total_ms - heard["audio_end_ms"]
        assert -10 <= beyond_ms <= on_its_way_ms + CUT_MS - 20
        assert call.right.total_ms == pytest.approx(person.loud_ms, abs=10)


@pytest.mark.asyncio
async def test_everybody_is_on_the_left(tmp_path: Path) -> None:
    async with Stage() as stage:
        session = await stage.start(recordings_dir=tmp_path)
        first, second = await stage.join(7), await stage.join(8)
        for person, voice in ((first, FIRST), (second, SECOND)):
            person.channel.push_audio_frame(voice, key="words")
            person.channel.finish_audio("words")
            await session.wait_loud(300 if person is first else 650)
        call = await recorded(stage, tmp_path)
        assert has_tone(call.left.samples.tobytes(), 440, 24_000)
        assert has_tone(call.left.samples.tobytes(), 880, 24_000)
        assert call.right.loud_ms == []


@pytest.mark.asyncio
async def test_an_unusable_folder_costs_the_recording_and_not_the_call(tmp_path: Path) -> None:
    async with Stage() as stage:
        session = await stage.start(recordings_dir=tmp_path / "gone")
        person = await stage.join()
        await session.say(tone(300), "still here")
        await person.wait_loud(290)
        assert stage.agent is not None
        assert stage.agent.vitals().recording == "incomplete"


@pytest.mark.asyncio
async def test_nothing_is_recorded_unless_asked_for(tmp_path: Path) -> None:
    async with Stage() as stage:
        await stage.start()
        assert stage.agent is not None
        assert stage.agent.vitals().recording == "off"
