"""Speech through a bad network: real WebRTC, a relay that loses and delays, the real recogniser."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bench.loss import hear
from bench.speech import Sentence, load_speech, sentences, wrong_words
from rtc.channel import Channel, PcmAudioFrame
from speech.engines.whisper import WhisperRecogniser
from tests.deadlines import DEADLINE_S
from tests.fakes.relayed_call import SpeechTrack, answering_room, calling_through
from tests.fakes.udp_relay import Conditions, UdpRelay
from tests.loopback.conftest import Site
from tests.loopback.loop_watch import watching_loop
from tests.rtc.sound import loudness
from utils import cancel_and_wait

AGENT = 1000
BYTES_PER_S = 48_000


@dataclass
class Ear:
    """All that an agent hears of one caller."""

    frames: list[PcmAudioFrame] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, channel: Channel, uid: int) -> None:
        """Until cancelled."""
        async for frame in channel.get_audio_frames(uid):
            self.frames.append(frame)
            self.news.set()

    async def wait(self, count: int) -> None:
        """For so many more frames."""
        wanted = len(self.frames) + count
        async with asyncio.timeout(DEADLINE_S):
            while len(self.frames) < wanted:
                self.news.clear()
                await self.news.wait()

    def longest_stall_s(self) -> float:
        """The longest time between two frames."""
        times = [frame.received_at for frame in self.frames]
        return max(later - sooner for sooner, later in itertools.pairwise(times))


@contextlib.asynccontextmanager
async def _caller(
    site: Site, relay: UdpRelay
) -> AsyncIterator[tuple[SpeechTrack, Ear, Channel, int]]:
    """Somebody behind a relay, and the agent that listens."""
    agent, events = await site.join(AGENT, "agent")
    async with relay, calling_through(relay, answering_room(site.url, "demo")) as track:
        user, *_ = await events.wait_for("user_joined")
        ear = Ear()
        listening = asyncio.get_running_loop().create_task(ear.listen(agent, user.uid))
        try:
            await ear.wait(10)
            yield track, ear, agent, user.uid
        finally:
            await cancel_and_wait(listening)


@pytest.mark.asyncio
async def test_a_clean_network_adds_no_delay(site: Site) -> None:
    async with _caller(site, UdpRelay()) as (track, ear, agent, uid), watching_loop() as watch:
        await track.say(load_speech("u22_f.wav"))
        await ear.wait(5)
        user = agent.statistics().users[uid]
        assert (user.packets_lost, user.packets_late, user.frames_dropped) == (0, 0, 0)
        assert user.delay_ms < 20 + watch.held_up_ms


@pytest.mark.asyncio
async def test_a_bad_network_neither_stalls_nor_stretches_the_stream(site: Site) -> None:
    relay = UdpRelay()
    async with _caller(site, relay) as (track, ear, agent, uid), watching_loop() as watch:
        relay.set_conditions(Conditions(loss=0.1, jitter_s=0.03, duplicates=0.02))
        ear.frames.clear()
        await track.say(load_speech("u18_f.wav"))
        await ear.wait(5)
        user = agent.statistics().users[uid]
        assert user.packets_lost > 5
        assert user.frames_recovered > 3
        assert user.delay_ms <= 60 + watch.held_up_ms
        stream_s = len(ear.frames) * 0.02
        time_s = ear.frames[-1].received_at - ear.frames[0].received_at
        assert abs(stream_s - time_s) < 0.15 + watch.held_up_s
        # The bound is 60 ms; the rest is what a busy machine may add to a timer.
        assert ear.longest_stall_s() < 0.15 + watch.held_up_s
        assert max(loudness(frame.pcm) for frame in ear.frames) > 1000


@pytest.mark.speech
@pytest.mark.asyncio
async def test_speech_is_understood_through_a_bad_network(site: Site) -> None:
    said: list[Sentence] = [s for s in sentences() if len(s.words) > 5][:3]
    recogniser = WhisperRecogniser()
    relay = UdpRelay()
    wrong = 0
    async with _caller(site, relay) as (track, ear, _agent, _uid), watching_loop() as watch:
        relay.set_conditions(Conditions(loss=0.1, jitter_s=0.03, seed=3))
        for sentence in said:
            ear.frames.clear()
            await track.say(sentence.pcm)
            await ear.wait(15)
            pcm = b"".join(frame.pcm for frame in ear.frames)
            wrong += wrong_words(sentence.words, await asyncio.to_thread(hear, recogniser, pcm))
    # Where this process was held up, a word may have been torn.
    assert wrong <= 0.15 * sum(len(sentence.words) for sentence in said) + watch.long_stalls
