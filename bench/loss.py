"""The listening check: speech through bad networks, as the model gets it and a recogniser hears it.

The same sentences go through real WebRTC and a relay that loses, delays and reorders packets, to our
agent and to the one with aiortc's own media path. What reaches the model's socket is recognised.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

from bench.speech import RATE_HZ, Sentence, plain_words, sentences, wrong_words
from bench.stand import Server, running_server
from bench.stock import AGENTS
from speech.engines.recogniser import WhisperRecogniser
from speech.resampling import Resampler
from tests.fakes.openai_realtime import FakeSession
from tests.fakes.relayed_call import SpeechTrack, answering_room, calling_through
from tests.fakes.udp_relay import Conditions, UdpRelay

LOSSES = (0.0, 0.03, 0.10)
JITTERS_S = (0.0, 0.03, 0.08)
BYTES_PER_S = RATE_HZ * 2
SETTLE_S = 1.0


async def rows() -> list[str]:
    """A table: a line for each network and media path."""
    recogniser = WhisperRecogniser()
    said = sentences()
    lines = [
        f"{'loss':>6} {'jitter':>7}  {'path':<6} {'word errors':>11} {'stall':>8} {'added':>8}"
    ]
    async with running_server() as server:
        for loss in LOSSES:
            networks = [Conditions(loss=loss, jitter_s=jitter_s) for jitter_s in JITTERS_S]
            async with asyncio.TaskGroup() as group:
                starting = asyncio.Lock()
                calls = [
                    group.create_task(_Call(name, network, said).run(server, starting, recogniser))
                    for network in networks
                    for name in AGENTS
                ]
            lines += [call.result() for call in calls]
    return lines


class _Call:
    """One call in which everything is said once."""

    def __init__(self, path: str, network: Conditions, said: Sequence[Sentence]) -> None:
        self._path = path
        self._network = network
        self._said = said
        # Where in the model's audio each sentence begins, and the end.
        self._marks: list[int] = []
        self._began_s = self._took_s = 0.0

    async def run(
        self, server: Server, starting: asyncio.Lock, recogniser: WhisperRecogniser
    ) -> str:
        """The line of the table. starting: agents start one by one, to be told apart."""
        network = self._network
        channel_name = f"{self._path}-{network.loss * 100:.0f}-{network.jitter_s * 1000:.0f}"
        async with contextlib.AsyncExitStack() as stack:
            async with starting:
                agent = await stack.enter_async_context(AGENTS[self._path](server, channel_name))
            relay = await stack.enter_async_context(UdpRelay())
            answer = answering_room(server.url, channel_name)
            track = await stack.enter_async_context(calling_through(relay, answer))
            await agent.session.wait_for("input_audio_buffer.append", 10)
            relay.set_conditions(network)
            await self._say_all(agent.session, track)
        wrong = await self._wrong_words(agent.session, recogniser)
        words = sum(len(sentence.words) for sentence in self._said)
        return (
            f"{network.loss:6.0%} {network.jitter_s * 1000:4.0f} ms  {self._path:<6} "
            f"{wrong / words:11.1%} {self._longest_stall_ms(agent.session):5.0f} ms "
            f"{self._added_ms():5.0f} ms"
        )

    async def _say_all(self, session: FakeSession, track: SpeechTrack) -> None:
        await track.say(bytes(BYTES_PER_S))
        self._began_s = asyncio.get_running_loop().time()
        for sentence in self._said:
            self._marks.append(len(session.audio))
            await track.say(sentence.pcm)
            await asyncio.sleep(SETTLE_S)
        self._marks.append(len(session.audio))
        self._took_s = asyncio.get_running_loop().time() - self._began_s

    async def _wrong_words(self, session: FakeSession, recogniser: WhisperRecogniser) -> int:
        wrong = 0
        spans = itertools.pairwise(self._marks)
        for sentence, (begin, end) in zip(self._said, spans, strict=True):
            pcm = bytes(session.audio[begin:end])
            wrong += wrong_words(sentence.words, await asyncio.to_thread(hear, recogniser, pcm))
        return wrong

    def _longest_stall_ms(self, session: FakeSession) -> float:
        appends = [
            event.at_s
            for event in session.received
            if event.type == "input_audio_buffer.append"
            and 0 <= event.at_s - self._began_s <= self._took_s
        ]
        return max(later - sooner for sooner, later in itertools.pairwise(appends)) * 1000

    def _added_ms(self) -> float:
        """How much more audio the model got than time passed."""
        return ((self._marks[-1] - self._marks[0]) / BYTES_PER_S - self._took_s) * 1000


def hear(recogniser: WhisperRecogniser, pcm: bytes) -> list[str]:
    """The words in PCM16 at 24 kHz."""
    resampler = Resampler(RATE_HZ, 16_000)
    return plain_words(recogniser.transcribe(resampler.push(pcm) + resampler.flush()).text)
