"""The listening check: speech through bad networks, as the model gets it and a recogniser hears it.

The same sentences go through real WebRTC and a relay that loses, delays and reorders packets, to our
agent and to the one with aiortc's own media path. What reaches the model's socket is recognised.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

from audio import Resampler
from bench.speech import RATE_HZ, Sentence, plain_words, sentences, wrong_words
from bench.stand import Server, running_server
from bench.stock import AGENTS
from load.statistics import percentile
from speech.engines.whisper import WhisperRecogniser
from tests.fakes.openai_realtime import FakeSession
from tests.fakes.relayed_call import SpeechTrack, answering_room, calling_through
from tests.fakes.udp_relay import Conditions, UdpRelay
from utils import cancel_and_wait

LOSSES = (0.0, 0.03, 0.10)
JITTERS_S = (0.0, 0.03, 0.08)
BYTES_PER_S = RATE_HZ * 2
SETTLE_S = 1.0
LAG_STEP_S = 0.005
HEADER = "  loss  jitter  path   word errors  gap p99  longest     added"


async def rows() -> list[str]:
    """A table: a line for each network and media path."""
    recogniser = WhisperRecogniser()
    said, lag = sentences(), _Lag()
    lines = [HEADER]
    async with running_server() as server:
        watching = asyncio.get_running_loop().create_task(lag.watch())
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
        await cancel_and_wait(watching)
    return [*lines, f"this process was itself held up for at most {lag.longest_ms:.0f} ms"]


class _Lag:
    """Time for which the machine kept this process from running: gaps up to that are its own."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await asyncio.sleep(LAG_STEP_S)
            self.longest_ms = max(self.longest_ms, (loop.time() - began_s - LAG_STEP_S) * 1000)


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
        """The line of the table. starting: agents start one by one, to be distinguishable."""
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
        stalls_ms = self._stalls_ms(agent.session)
        return (
            f"{network.loss:6.0%} {network.jitter_s * 1000:4.0f} ms  {self._path:<6} "
            f"{wrong / words:11.1%} {percentile(stalls_ms, 0.99):5.0f} ms "
            f"{max(stalls_ms):5.0f} ms {self._added_ms():6.0f} ms"
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

    def _stalls_ms(self, session: FakeSession) -> list[float]:
        """The times between any two pieces of audio that reached the model."""
        appends = [
            event.at_s
            for event in session.received
            if event.type == "input_audio_buffer.append"
            and 0 <= event.at_s - self._began_s <= self._took_s
        ]
        return [(later - sooner) * 1000 for sooner, later in itertools.pairwise(appends)]

    def _added_ms(self) -> float:
        """Return the surplus of audio at the model over the time that passed."""
        return ((self._marks[-1] - self._marks[0]) / BYTES_PER_S - self._took_s) * 1000


def hear(recogniser: WhisperRecogniser, pcm: bytes) -> list[str]:
    """The words in PCM16 at 24 kHz."""
    resampler = Resampler(RATE_HZ, 16_000)
    return plain_words(recogniser.transcribe(resampler.push(pcm) + resampler.flush()).text)
