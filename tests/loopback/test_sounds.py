"""Sounds besides replies, as a caller hears them: idle prompts, thinking, background."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from audio import write_wav
from config.sounds import Sounds
from conversation.lifecycle import ExitReason
from line.participants import ChatMessage
from tests.fakes.openai_realtime import tone
from tests.loopback.ear import RATE_HZ
from tests.loopback.loop_watch import watching_loop
from tests.loopback.provider_sides import SIDES, OpenSide
from tests.loopback.stage import Person, Stage, soon
from tests.loopback.test_heard import IMMEDIATE, LONG, WORDS, LateListener
from tests.recordings import Recording
from tests.rtc.sound import has_tone
from tests.rtc.sound import tone as sine
from tools import ToolContext
from toolsets import registry
from toolsets.services import ToolServices

ASK = "Are you still there?"
GOODBYE = "Goodbye then."
VOICE_HZ, SOUND_HZ, PHRASE_HZ = 440, 1_500, 880
ANSWER, PHRASE = tone(600), tone(400, hz=PHRASE_HZ)
FRAME = RATE_HZ // 50


def levels(person: Person, hz: float) -> npt.NDArray[np.float64]:
    """How loud a tone is in each frame of 20 ms that came (amplitude)."""
    pcm = np.frombuffer(bytes(person.ear.pcm), np.int16).astype(np.float64)
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    wave = np.exp(-2j * np.pi * hz * np.arange(FRAME) / RATE_HZ)
    return np.asarray(2 * np.abs(frames @ wave) / FRAME)


def heard_ms(person: Person, hz: float) -> float:
    return float((levels(person, hz) > 300).sum()) * 20


async def until_heard(person: Person, hz: float, duration_ms: float) -> None:
    await person.until(lambda: heard_ms(person, hz) >= duration_ms)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, ...]:
    """Sounds of one tone: `tone`, and the softer `soft`, whose loops have a whole number of periods."""
    for name, amplitude in (("tone", 3_000), ("soft", 500)):
        pcm = sine(SOUND_HZ, 1.1, RATE_HZ, amplitude=amplitude)
        write_wav(tmp_path / f"{name}.wav", pcm, RATE_HZ)
    return (tmp_path,)


def sounds(**parts: Any) -> Sounds:
    return Sounds.model_validate(parts)


def impatient(idle: dict[str, Any]) -> Sounds:
    """Idle prompts that wait for less than people may be given."""
    made = sounds(idle=idle)
    assert made.idle is not None
    return made.model_copy(update={"idle": made.idle.model_copy(update={"after_s": 0.4})})


# -- idle prompts ------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("open_side", [each for each in SIDES if each.id != "azure"])
async def test_with_every_provider_a_silent_person_is_asked_and_then_left(
    open_side: OpenSide,
) -> None:
    idle = {"times": 1, "say": ASK, "goodbye": GOODBYE}
    async with open_side() as side, Stage() as stage:
        await stage.run_until_ready(provider=side.config, sounds=impatient(idle))
        await side.attach()
        person = await stage.join()
        await side.greet(ASK)
        near = await person.wait_event("agent_limit_near")
        assert (near["reason"], near["ends_in_ms"]) == ("idle", 400)
        await person.wait_event("agent_playout_done")
        await person.wait_loud(100)
        await side.greet(GOODBYE)
        assert (await person.wait_event("agent_ended"))["reason"] == "idle"
        assert await stage.ended() is ExitReason.IDLE
        await side.close()


@pytest.mark.asyncio
async def test_what_makes_a_silence_nobodys_fault(slow: asyncio.Event) -> None:
    """The rules of silence, one after the other, by what the prompter itself sees."""
    idle = {"after_s": 600, "say": ASK}
    async with Stage() as stage:
        session = await stage.start(toolset="slow", sounds=sounds(idle=idle))
        person = await stage.join()
        assert stage.agent is not None
        prompter = stage.agent._session.parts.idle_prompter

        async def until(*, is_silent: bool) -> None:
            async with asyncio.timeout(20):
                while prompter._is_silent() is not is_silent:  # noqa: ASYNC110 - a computed state
                    await asyncio.sleep(0.01)

        await until(is_silent=True)
        person.channel.set_muted(True)
        await until(is_silent=False)
        person.channel.set_muted(False)
        await until(is_silent=True)
        saying = asyncio.get_running_loop().create_task(session.say(ANSWER, "Hm."))
        await until(is_silent=False)
        await soon(saying)
        await person.wait_event("agent_playout_done")
        await until(is_silent=True)
        item_id = await session.speech_started()
        await until(is_silent=False)
        await session.speech_stopped(item_id, "")
        await until(is_silent=True)
        await session.call_tool("work", {})
        await until(is_silent=False)
        slow.set()
        await session.wait_for("response.create")
        await session.say(ANSWER, "Done.")
        await person.wait_event("agent_playout_done", 2)
        await until(is_silent=True)
        await person.leave()
        await until(is_silent=False)


@pytest.mark.asyncio
async def test_a_sound_may_ask_in_place_of_words(folders: tuple[Path, ...]) -> None:
    idle = {"times": 1, "sound": "tone", "level_db": 0}
    async with Stage() as stage:
        session = await stage.start(sounds=impatient(idle), sound_folders=folders)
        person = await stage.join()
        await until_heard(person, SOUND_HZ, 800)
        assert session.all_of("response.create") == []
        person.send(type="client_text_append", text="I am here")
        await session.wait_for("response.create")
        await session.say(ANSWER, "Good.")
        await person.wait_event("agent_limit_near", 2)


# -- thinking ----------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The tool set `slow` has a tool `work` that lasts until this is set."""
    is_done = asyncio.Event()

    async def work() -> str:
        await is_done.wait()
        return "worked"

    def create(_services: ToolServices) -> ToolContext:
        tools = ToolContext()
        tools.register_function("work", "Work.", work)
        return tools

    monkeypatch.setitem(registry._TOOLSETS, "slow", create)
    return is_done


def said(stage: Stage) -> list[str]:
    """The history of the agent's side, as it was heard."""
    assert stage.agent is not None
    return [item.text for item in stage.agent._session.history.items if item.role == "assistant"]


@pytest.mark.asyncio
async def test_a_slow_tool_is_heard_until_the_reply_begins_and_is_no_part_of_it(
    slow: asyncio.Event, folders: tuple[Path, ...]
) -> None:
    thinking = {"after_s": 0.2, "sound": "tone", "level_db": 0}
    async with Stage() as stage:
        session = await stage.start(
            toolset="slow", sounds=sounds(thinking=thinking), sound_folders=folders
        )
        person = await stage.join()
        await session.call_tool("work", {})
        # Longer than the sound: it is played over and over.
        await until_heard(person, SOUND_HZ, 1_400)
        assert not person.all_of("agent_playout_done")
        slow.set()
        await session.wait_for("response.create")
        await session.say(ANSWER, "It is done.")
        done = await person.wait_event("agent_playout_done")
        await until_heard(person, VOICE_HZ, 500)

        voice, sound = levels(person, VOICE_HZ), levels(person, SOUND_HZ)
        first = int(np.argmax(voice > 6_000))
        # One frame in which it ends, and what the codec spreads over the next.
        assert (sound[first + 2 :] < 200).all()
        assert sound[first - 5 : first - 1].min() > 2_000, "it lasts until the reply comes"
        assert said(stage) == ["It is done."]
        assert len(session.all_of("response.create")) == 1
        assert stage.agent is not None
        assert stage.agent._line.statistics().played_ms == 600
        assert stage.agent.playback_tracker.get_state()["current_item_id"] == done["item_id"]


@pytest.mark.asyncio
async def test_a_person_who_speaks_ends_the_sound_of_work(
    slow: asyncio.Event, folders: tuple[Path, ...]
) -> None:
    thinking = {"after_s": 0.2, "sound": "tone", "level_db": 0}
    async with Stage() as stage:
        session = await stage.start(
            toolset="slow", sounds=sounds(thinking=thinking), sound_folders=folders
        )
        person = await stage.join()
        await session.call_tool("work", {})
        await until_heard(person, SOUND_HZ, 200)
        await session.speech_started()
        await person.wait_event("agent_input_started")
        bed = stage.channel.outgoing._bed
        assert not bed.is_playing
        await person.channel.chat.send_message(ChatMessage("later"))
        frames = len(levels(person, SOUND_HZ))
        await person.until(lambda: not bed.is_active)
        assert heard_ms(person, SOUND_HZ) <= frames * 20 + 100
        assert not person.all_of("agent_interrupted"), "there was no reply to interrupt"
        slow.set()


@pytest.mark.asyncio
async def test_a_phrase_is_said_in_the_models_voice_and_remembered_by_nobody(
    slow: asyncio.Event, folders: tuple[Path, ...]
) -> None:
    thinking = {
        "after_s": 0.2,
        "sound": "tone",
        "level_db": 0,
        "phrases": {"de": "Moment.", "en": ["One moment.", "Let me see."]},
    }
    async with Stage() as stage:
        session = await stage.start(
            toolset="slow", sounds=sounds(thinking=thinking), sound_folders=folders
        )
        person = await stage.join()
        await session.call_tool("work", {})
        request = (await session.wait_for("response.create"))["response"]
        assert (request["conversation"], request["input"]) == ("none", [])
        assert request["instructions"] == "Say exactly: One moment."
        await session.answer_beside(request, "One moment.", pcm=PHRASE)
        await until_heard(person, PHRASE_HZ, 300)
        # Then the sound, once the phrase has been heard.
        await until_heard(person, SOUND_HZ, 200)
        slow.set()
        await session.wait_for("response.create", 2)
        await session.say(ANSWER, "It is done.")
        await until_heard(person, VOICE_HZ, 500)
        assert said(stage) == ["It is done."]
        assert stage.agent is not None
        texts = [getattr(each, "text", "") for each in stage.agent.conversation()]
        assert not any("moment" in text for text in texts)


# -- background --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_background_is_ducked_under_the_voice_and_is_in_no_recording(
    tmp_path: Path, folders: tuple[Path, ...]
) -> None:
    background = {"sound": "tone", "level_db": 0, "duck_db": -20}
    (tmp_path / "calls").mkdir()
    async with Stage() as stage:
        session = await stage.start(
            sounds=sounds(background=background),
            sound_folders=folders,
            recordings_dir=tmp_path / "calls",
        )
        person = await stage.join()
        await until_heard(person, SOUND_HZ, 800)
        await session.say(tone(1_500), "A long answer.")
        await person.wait_event("agent_playout_done")
        end = len(levels(person, SOUND_HZ))
        await person.until(lambda: (levels(person, SOUND_HZ)[end:] > 2_500).sum() > 10)

        sound, voice = levels(person, SOUND_HZ), levels(person, VOICE_HZ)
        spoken = np.flatnonzero(voice > 6_000)
        before = np.median(sound[spoken[0] - 10 : spoken[0] - 1])
        # The fade down takes 120 ms.
        under = np.median(sound[spoken[8] : spoken[-1]])
        assert before == pytest.approx(3_000, rel=0.25)
        assert -24 < 20 * np.log10(under / before) < -16
        assert said(stage) == ["A long answer."]
        assert not person.all_of("agent_paused")
        assert stage.agent is not None
        assert stage.agent._line.statistics().played_ms == 1_500
        stage.agent.stop()
        await stage.ended()
        call = Recording.read(tmp_path / "calls" / "a1.wav")
        assert call.right.total_ms == pytest.approx(1_500, abs=25)
        assert has_tone(call.right.samples.tobytes(), VOICE_HZ, RATE_HZ)
        assert not has_tone(call.right.samples.tobytes(), SOUND_HZ, RATE_HZ)


@pytest.mark.asyncio
async def test_a_reply_is_cut_where_the_listener_was_whatever_is_under_it(
    folders: tuple[Path, ...],
) -> None:
    """As `test_heard` has it without a background."""
    background = {"sound": "soft", "level_db": 0, "duck_db": 0}
    async with Stage() as stage, watching_loop() as watch:
        session = await stage.start(
            interrupt=IMMEDIATE,
            sounds=sounds(background=background, normalise=False),
            sound_folders=folders,
        )
        person = await stage.join()
        await until_heard(person, SOUND_HZ, 400)
        listener = LateListener(person, 0.12, watch)
        listener.report()
        saying = asyncio.get_running_loop().create_task(session.say(LONG, WORDS, pace=0.5))
        await person.wait_loud(900)
        told_ms, played_ms = await listener.interrupt(session)
        interrupted = await person.wait_event("agent_interrupted")
        await soon(saying)
        assert interrupted["audio_end_ms"] == told_ms
        assert listener.has_heard(told_ms, played_ms, within_ms=20)
        after = len(levels(person, SOUND_HZ))
        await person.until(lambda: (levels(person, SOUND_HZ)[after:] > 300).sum() > 5)


@pytest.mark.asyncio
async def test_a_quiet_voice_is_brought_up_and_keeps_its_length() -> None:
    async with Stage() as stage:
        session = await stage.start(sounds=sounds(normalise=True))
        person = await stage.join()
        quiet = sine(VOICE_HZ, 3.0, RATE_HZ, amplitude=1_200)
        await session.say(quiet, "A quiet voice.")
        await person.wait_event("agent_playout_done")
        voice = levels(person, VOICE_HZ)
        assert stage.agent is not None
        assert stage.agent._line.statistics().played_ms == 3_000
        spoken = np.flatnonzero(voice > 600)
        early, late = voice[spoken[5:15]].mean(), voice[spoken[-15:-5]].mean()
        assert early == pytest.approx(1_200, rel=0.2)
        assert 20 * np.log10(late / early) > 4
