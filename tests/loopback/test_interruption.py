"""Speech over a reply, over real WebRTC: what pauses it, what ends it, and what is lost. Nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.loop_watch import watching_loop
from tests.loopback.stage import Person, Stage, soon
from tests.real_server import poll

RATE_HZ = 24_000
WINDOW = RATE_HZ // 25  # 40 ms
LOUD = 1500
# Of speech that goes on until they are known, on a busy machine too.
WORDS_DECIDE = {"words_timeout_ms": 10_000, "sure_after_ms": 10_000}
# 15 ms after the fade, three silent frames, and what the codec holds back.
SILENT_TAIL = RATE_HZ * 80 // 1000


def voice(duration_ms: int, *, seed: int = 3) -> bytes:
    """Something unlike itself at any other moment, as loud as speech, in the band of speech."""
    samples = RATE_HZ * duration_ms // 1000
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 1, samples))
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    spectrum[(hz < 200) | (hz > 2500)] = 0
    wave = np.fft.irfft(spectrum, samples)
    pcm: bytes = (wave / np.abs(wave).max() * 16_000).astype(np.int16).tobytes()
    return pcm


def is_loud(pcm: bytes) -> bool:
    return int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max(initial=0)) > LOUD


class Scene:
    """An agent in the middle of a long reply, and somebody who listens."""

    def __init__(self, stage: Stage, session: FakeSession, person: Person) -> None:
        self.stage, self.session, self.person = stage, session, person
        self.saying: asyncio.Task[Any] | None = None

    async def begin_reply(
        self, pcm: bytes, words: str = "one two three", *, pace: float = 0.0, after_ms: int = 300
    ) -> None:
        """The agent speaks; returns when `after_ms` of it were heard."""
        heard_ms = self.person.loud_ms
        saying = self.session.say(pcm, words, pace=pace)
        self.saying = asyncio.get_running_loop().create_task(saying)
        await self.person.wait_loud(heard_ms + after_ms)

    async def make_sound(self, duration_ms: int, person: Person | None = None) -> None:
        """Somebody makes a sound; returns when the model's side has heard its beginning."""
        heard = len(self.session.audio)
        (person or self.person).channel.push_audio_frame(voice(duration_ms, seed=9), key=object())
        appends = len(self.session.all_of("input_audio_buffer.append"))
        while not is_loud(bytes(self.session.audio[heard:])):
            appends += 1
            await self.session.wait_for("input_audio_buffer.append", appends)

    async def all_is_heard(self) -> None:
        """Until nothing of the paused reply is on its way any more; nobody is told of that."""
        assert self.stage.agent is not None
        outgoing = self.stage.channel.outgoing

        async def has_landed() -> bool:
            position = outgoing.position()
            return position is not None and not position.in_flight_samples

        await poll(has_landed, DEADLINE_S)

    async def say_over(
        self, duration_ms: int, words: str, paused: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Somebody says something, as a provider hears it; returns the turn's item.

        paused: what to wait for before the words are known
        """
        await self.make_sound(duration_ms)
        item_id = await self.session.speech_started()
        await self.person.wait_event("agent_paused")
        if paused is not None:
            await paused()
        await self.session.speech_stopped(item_id, words)
        return item_id

    def count(self, event_type: str) -> int:
        return len(self.session.all_of(event_type))

    def has_lost_nothing(self) -> None:
        """The reply was neither cut nor answered."""
        for event_type in ("response.cancel", "conversation.item.truncate", "response.create"):
            assert self.count(event_type) == 0, event_type


async def open_scene(stage: Stage, **config: Any) -> Scene:
    session = await stage.start(**config)
    return Scene(stage, session, await stage.join())


def lags(heard: bytes, source: bytes) -> list[tuple[int, float]]:
    """Where each 40 ms of `source` is in `heard`: samples it came late, and how like it is."""
    haystack = np.frombuffer(heard, np.int16).astype(np.float64)
    needle = np.frombuffer(source, np.int16).astype(np.float64)
    size = 1 << (len(haystack) + WINDOW).bit_length()
    spectrum = np.fft.rfft(haystack, size)
    energy = np.concatenate([[0.0], np.cumsum(haystack**2)])
    norms = np.sqrt(np.maximum(energy[WINDOW:] - energy[:-WINDOW], 1.0))
    found = []
    for start in range(0, len(needle) - WINDOW + 1, WINDOW):
        window = needle[start : start + WINDOW]
        products: npt.NDArray[np.float64] = np.fft.irfft(
            spectrum * np.conj(np.fft.rfft(window, size)), size
        )[: len(norms)]
        likeness = products / norms / np.linalg.norm(window)
        at = int(likeness.argmax())
        found.append((at - start, float(likeness[at])))
    return found


@pytest.mark.asyncio
async def test_a_cough_pauses_the_reply_and_not_a_sample_is_lost_or_repeated() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage)
        source = voice(2400)
        await scene.begin_reply(source)
        await scene.make_sound(120)
        item_id = await scene.session.speech_started()
        await scene.person.wait_event("agent_paused")
        resumed = await scene.person.wait_event("agent_resumed")
        assert resumed["cause"] == "short"
        await scene.session.speech_stopped(item_id, "")
        deleted = await scene.session.wait_for("conversation.item.delete")
        assert deleted["item_id"] == item_id
        await scene.person.wait_event("agent_playout_done")
        await scene.person.wait_loud(2350)
        scene.has_lost_nothing()
        found = lags(bytes(scene.person.ear.pcm), source)
        # Two lags only, the second later by the rest of the frame in which it was silenced and by
        # the silent ones after it: all of it came once, and in order.
        sure = [lag for lag, likeness in found if likeness > 0.6]
        assert len(sure) >= len(found) - 3, found
        first, last = sure[0], sure[-1]
        assert all(abs(lag - first) < 48 or abs(lag - last) < 48 for lag in sure), sure
        assert max(sure.index(lag) for lag in sure if abs(lag - first) < 48) < len(sure) - 1
        assert 0 < last - first <= SILENT_TAIL


@pytest.mark.asyncio
async def test_a_sound_that_the_provider_never_hears_pauses_only() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage)
        await scene.begin_reply(voice(2000))
        await scene.make_sound(120)
        await scene.person.wait_event("agent_paused")
        resumed = await scene.person.wait_event("agent_resumed")
        assert resumed["cause"] in ("short", "unconfirmed")
        await scene.person.wait_event("agent_playout_done")
        await scene.person.wait_loud(1950)
        scene.has_lost_nothing()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("language", "words", "cause"),
    [
        ("en", "Mhm.", "backchannel"),
        ("de", "Ja, genau.", "backchannel"),
        ("en", "[coughing]", "noise"),
        ("en", "three four", "echo"),
    ],
)
async def test_what_means_nothing_lets_the_reply_go_on(
    language: str, words: str, cause: str
) -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, language=language, interrupt=WORDS_DECIDE)
        # Much is left of it: on a busy machine it takes a while until the sound is heard.
        await scene.begin_reply(voice(4000), "three four five six seven eight", after_ms=1500)
        item_id = await scene.say_over(1500, words)
        assert (await scene.person.wait_event("agent_resumed"))["cause"] == cause
        assert (await scene.session.wait_for("conversation.item.delete"))["item_id"] == item_id
        done = await scene.person.wait_event("agent_input_transcription_done")
        assert done["transcript"] == (words if cause == "backchannel" else "")
        assert done["uid"] == 7
        await scene.person.wait_event("agent_playout_done")
        await scene.person.wait_loud(3950)
        scene.has_lost_nothing()


@pytest.mark.asyncio
async def test_words_cut_the_reply_and_are_answered() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt=WORDS_DECIDE)
        await scene.begin_reply(tone(10_000), " ".join("abcdefghij" * 10), pace=0.5)
        await scene.say_over(1500, "Stop please.", paused=scene.all_is_heard)
        truncate = await scene.session.wait_for("conversation.item.truncate")
        interrupted = await scene.person.wait_event("agent_interrupted")
        assert truncate["audio_end_ms"] == interrupted["audio_end_ms"]
        # The fade, and what the codec smears, are loud or not.
        assert abs(scene.person.loud_ms - truncate["audio_end_ms"]) <= 15
        assert scene.saying is not None
        await soon(scene.saying)
        await scene.session.wait_for("response.create")
        kinds = [event.type for event in scene.session.received]
        assert kinds.index("response.cancel") < kinds.index("response.create")
        assert scene.count("response.create") == 1
        assert scene.count("conversation.item.delete") == 0
        assert not [e for e in scene.person.events if e["type"] == "agent_resumed"]


@pytest.mark.asyncio
async def test_speech_that_goes_on_cuts_before_its_words_are_known() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt={"sure_after_ms": 400})
        await scene.begin_reply(tone(10_000), pace=0.5)
        await scene.make_sound(2000)
        item_id = await scene.session.speech_started()
        await scene.session.wait_for("response.cancel")
        await scene.session.wait_for("conversation.item.truncate")
        assert scene.count("response.create") == 0
        await scene.session.speech_stopped(item_id, "and another thing")
        await scene.session.wait_for("response.create")


@pytest.mark.asyncio
async def test_words_that_come_late_still_cut() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt={"words_timeout_ms": 0})
        await scene.begin_reply(tone(6000))
        await scene.make_sound(100)
        item_id = await scene.session.speech_started()
        await scene.person.wait_event("agent_resumed")
        await scene.session.speech_stopped(item_id, "Wait!")
        await scene.session.wait_for("conversation.item.truncate")
        await scene.session.wait_for("response.create")


@pytest.mark.asyncio
async def test_after_an_echo_speech_pauses_nothing_and_words_still_cut() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt=WORDS_DECIDE)
        await scene.begin_reply(
            tone(8000), "one two three four five six seven eight", after_ms=3500
        )
        await scene.say_over(1500, "two three four")
        await scene.person.wait_event("agent_resumed")
        item_id = await scene.session.speech_started()
        await scene.person.wait_event("agent_input_started", 2)
        assert len([e for e in scene.person.events if e["type"] == "agent_paused"]) == 1
        await scene.session.speech_stopped(item_id, "no, I meant five")
        await scene.session.wait_for("conversation.item.truncate")


@pytest.mark.asyncio
async def test_never_lets_the_reply_end_and_answers_then() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt={"mode": "never"})
        await scene.begin_reply(voice(1500), pace=1.0)
        item_id = await scene.session.speech_started()
        await scene.session.speech_stopped(item_id, "Stop please.")
        await scene.session.wait_for("response.create")
        (ended_at_s,) = (
            event.at_s for event in scene.session.sent if event.type == "response.done"
        )
        asked_at_s = scene.session.received[-1].at_s
        assert ended_at_s < asked_at_s
        await scene.person.wait_event("agent_playout_done")
        await scene.person.wait_loud(1450)
        assert scene.count("response.cancel") == scene.count("conversation.item.truncate") == 0
        assert not [e for e in scene.person.events if e["type"] == "agent_paused"]


@pytest.mark.asyncio
async def test_immediate_leaves_replies_and_interruptions_to_the_provider() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt={"mode": "immediate"})
        detection = scene.session.settings["audio"]["input"]["turn_detection"]
        assert detection.get("create_response", True)
        assert detection.get("interrupt_response", True)
        await scene.begin_reply(tone(6000), pace=1.0)
        item_id = await scene.session.speech_started()
        await scene.session.wait_for("conversation.item.truncate")
        await scene.session.speech_stopped(item_id, "Mhm.")
        await scene.person.wait_event("agent_input_transcription_done")
        assert scene.count("response.cancel") == scene.count("response.create") == 0


@pytest.mark.asyncio
async def test_a_turn_in_silence_is_answered_at_once_and_once() -> None:
    async with Stage() as stage:
        scene = await open_scene(
            stage, turn_detection={"type": "semantic_vad", "eagerness": "high"}
        )
        detection = scene.session.settings["audio"]["input"]["turn_detection"]
        assert (detection["type"], detection["eagerness"]) == ("semantic_vad", "high")
        assert detection["create_response"] is detection["interrupt_response"] is False
        item_id = await scene.session.speech_started()
        await scene.session.speech_stopped(item_id, "hello")
        await scene.session.wait_for("response.create")
        await scene.session.say(tone(200), "hi")
        await scene.person.wait_event("agent_playout_done")
        assert scene.count("response.create") == 1


@pytest.mark.asyncio
async def test_a_client_that_creates_replies_itself_is_left_to_it() -> None:
    async with Stage() as stage:
        detection = {"type": "server_vad", "create_response": False}
        scene = await open_scene(stage, turn_detection=detection)
        item_id = await scene.session.speech_started()
        await scene.session.speech_stopped(item_id, "hello")
        await scene.person.wait_event("agent_input_transcription_done")
        scene.person.send(type="client_response_create")
        await scene.session.wait_for("response.create")
        assert scene.count("response.create") == 1


# -- push to talk ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_push_to_talk_hears_only_what_is_said_while_pushing_and_answers_it() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, turn_detection={"type": "none"})
        assert scene.session.settings["audio"]["input"]["turn_detection"] is None
        await scene.begin_reply(tone(6000), pace=1.0)
        assert scene.count("input_audio_buffer.append") == 0
        scene.person.send(type="client_activity_start")
        await scene.session.wait_for("conversation.item.truncate")
        await scene.session.wait_for("response.cancel")
        await scene.make_sound(500)
        await scene.session.wait_for("input_audio_buffer.append", 40)
        scene.person.send(type="client_activity_end")
        await scene.session.wait_for("response.create")
        kinds = [event.type for event in scene.session.received]
        assert kinds.index("input_audio_buffer.commit") < kinds.index("response.create")
        assert "input_audio_buffer.append" not in kinds[kinds.index("input_audio_buffer.commit") :]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("detection", "event", "code"),
    [
        (None, "client_activity_start", "turn_detection_is_on"),
        ({"type": "none"}, "client_activity_end", "no_activity"),
    ],
)
async def test_activity_out_of_place_is_refused(
    detection: dict[str, Any] | None, event: str, code: str
) -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, turn_detection=detection)
        scene.person.send(type=event)
        assert (await scene.person.wait_event("agent_error"))["code"] == code


# -- several people ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_of_three_people_the_one_who_speaks_is_named_whatever_the_others_do() -> None:
    async with Stage() as stage, watching_loop() as watch:
        scene = await open_scene(stage)
        quiet, gone = await stage.join(8), await stage.join(9)
        quiet.channel.set_muted(True)
        await gone.leave()
        stage.people.remove(gone)
        third = await stage.join(10)
        for uid, speaker in ((10, third), (7, scene.person)):
            heard = len(scene.session.audio)
            await scene.make_sound(600, speaker)
            item_id = await scene.session.speech_started()
            started = await quiet.wait_event("agent_input_started", 1 if uid == 10 else 2)
            assert started["uid"] == uid
            appends = scene.count("input_audio_buffer.append")
            await scene.session.wait_for("input_audio_buffer.append", appends + 40)
            await scene.session.speech_stopped(item_id, f"I am {uid}")
            done = await quiet.wait_event("agent_input_transcription_done", 1 if uid == 10 else 2)
            assert (done["uid"], done["transcript"]) == (uid, f"I am {uid}")
            found = lags(bytes(scene.session.audio[heard:]), voice(600, seed=9))
            # Where this process was held up, the agent made up sound and left some out after.
            spoilt = 3 + watch.held_up_ms / 20
            assert sum(likeness > 0.6 for _, likeness in found) >= len(found) - spoilt
