"""A WebRTC client of OpenAI's shape: stock aiortc, a microphone that speaks PCM, and an ear."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack

from audio import Resampler
from speech.engines.whisper import WhisperRecogniser
from tests.deadlines import DEADLINE_S
from tests.fakes.stock_caller import StockCaller
from tests.speech.talk import VALIDATOR

CALLS = "/v1/realtime/calls"
_RATE_HZ = 48_000
_FRAME_SAMPLES = 960

Event = dict[str, Any]


class Microphone(MediaStreamTrack):
    """Silence, and whatever is to be said; in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._to_say = bytearray()
        self._said = asyncio.Event()
        self._samples = 0
        self._begin_s: float | None = None

    async def say(self, pcm: bytes) -> None:
        """Say PCM16 at 24 kHz; returns when it has left."""
        resampler = Resampler(24_000, _RATE_HZ)
        self._to_say += resampler.push(pcm) + resampler.flush()
        self._said.clear()
        await self._said.wait()

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms."""
        now_s = time.monotonic()
        self._begin_s = now_s if self._begin_s is None else self._begin_s
        await asyncio.sleep(max(0.0, self._begin_s + self._samples / _RATE_HZ - now_s))
        size = _FRAME_SAMPLES * 2
        pcm = bytes(self._to_say[:size])
        del self._to_say[:size]
        if not self._to_say:
            self._said.set()
        samples = np.frombuffer(pcm + bytes(size - len(pcm)), np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = _RATE_HZ, self._samples
        frame.time_base = Fraction(1, _RATE_HZ)
        self._samples += _FRAME_SAMPLES
        return frame


class RtcCaller:
    """One call. Every event is validated strictly and kept in order; all that sounds is kept too."""

    def __init__(self, labels: Sequence[str] = ("oai-events",)) -> None:
        """labels: of its data channels"""
        self.stock = StockCaller(labels)
        self.microphone = Microphone()
        self.stock.connection.getTransceivers()[0].sender.replaceTrack(self.microphone)
        self.call_path = ""
        self.events: list[Event] = []
        # PCM16 at 48 kHz.
        self.heard = bytearray()
        self._heard_more = asyncio.Event()
        self._read = 0
        self._ear: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        """Our offer."""
        return await self.stock.offer()

    async def accept(self, answer: str) -> None:
        """Take the answer, and listen from now on."""
        await self.stock.accept(answer)
        track = self.stock.connection.getTransceivers()[0].receiver.track
        self._ear = asyncio.get_running_loop().create_task(self._listen(track))
        await self.stock.wait_open()

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler("s16", "mono", _RATE_HZ)
        while True:
            received = await track.recv()
            assert isinstance(received, av.AudioFrame)
            for frame in resampler.resample(received):
                self.heard += frame.to_ndarray().tobytes()
            self._heard_more.set()

    async def close(self) -> None:
        """Hang up as a page does: `RTCPeerConnection.close`."""
        if self._ear is not None:
            self._ear.cancel()
            await asyncio.wait([self._ear])
        self.microphone.stop()
        await self.stock.close()

    # -- events --------------------------------------------------------------------------------

    def send(self, **event: Any) -> None:
        """One client event over the data channel."""
        self.stock.channels[0].send(json.dumps(event))

    async def next(self) -> Event:
        """The next event."""
        if self._read == len(self.events):
            async with asyncio.timeout(DEADLINE_S):
                _, text = await self.stock.received.get()
            event = VALIDATOR.validate_json(text).model_dump(exclude_unset=True)
            self.events.append(event)
        self._read += 1
        return self.events[self._read - 1]

    async def until(self, kind: str, **fields: Any) -> Event:
        """Read on up to an event of this type (and with these fields)."""
        while True:
            event = await self.next()
            if event["type"] == kind and all(event.get(k) == v for k, v in fields.items()):
                return event

    async def update(self, **session: Any) -> Event:
        """Change the session and wait until that is done."""
        self.send(type="session.update", session={"type": "realtime", **session})
        return await self.until("session.updated")

    def order(self, words: str) -> None:
        """Have these words said."""
        self.send(type="response.create", response={"instructions": f"Say exactly: {words}"})

    def all_of(self, kind: str) -> list[Event]:
        """The events of this type so far."""
        return [event for event in self.events if event["type"] == kind]

    def types(self, start: int = 0) -> list[str]:
        """The kinds of events received."""
        return [event["type"] for event in self.events[start:]]

    # -- sound ---------------------------------------------------------------------------------

    async def until_loud(self) -> None:
        """Until something sounds that has come after this call."""
        begin = len(self.heard)
        async with asyncio.timeout(DEADLINE_S):
            while _peak(self.heard[begin:]) < 1_000:
                self._heard_more.clear()
                await self._heard_more.wait()

    def words(self, recogniser: WhisperRecogniser, begin: int = 0) -> str:
        """What was said to us, as the recogniser hears it; begin: in bytes of `heard`."""
        resampler = Resampler(_RATE_HZ, 16_000)
        pcm = resampler.push(bytes(self.heard[begin:])) + resampler.flush()
        return recogniser.transcribe(pcm).text.lower()


def _peak(pcm: bytes | bytearray) -> int:
    samples = np.frombuffer(bytes(pcm[: len(pcm) // 2 * 2]), np.int16)
    return int(np.abs(samples.astype(int)).max()) if samples.size else 0


@asynccontextmanager
async def rtc_call(url: str, *, key: str = "unused") -> AsyncIterator[RtcCaller]:
    """A connected call to the server at `url`."""
    caller = RtcCaller()
    try:
        async with aiohttp.ClientSession() as http:
            headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
            offer = await caller.offer()
            async with http.post(url + CALLS, data=offer, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                assert answer.content_type == "application/sdp"
                caller.call_path = answer.headers["Location"]
                sdp = await answer.text()
        async with asyncio.timeout(DEADLINE_S):
            await caller.accept(sdp)
        yield caller
    finally:
        await caller.close()
