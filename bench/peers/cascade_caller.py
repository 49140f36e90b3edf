"""A caller of a cascade over its WebSocket: speaks in a quiet room, and plays what is answered."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
import numpy as np

from bench.speech import RATE_HZ, SPEECH, load_speech
from tests.wav_files import read_wav

REPLY_RATE_HZ: Final = 24_000
PIECE_S: Final = 0.02
_TAIL_S: Final = 0.5
"""The recorded sentences have so much behind their last word (tests/data/speech/README.md)."""

_LOUD: Final = 500
_ROOM_PEAK: Final = 40
"""A quiet room, -62 dBFS: no side may take it for a muted microphone."""

_REPLY_OVER_S: Final = 0.7
"""So long after the end of a reply's audio the next question is asked."""

_ANSWER_DEADLINE_S: Final = 8.0
_POLL_S: Final = 0.02


class Wire(Protocol):
    """A call, as its protocol carries audio: PCM16 mono, `rate_hz` in, `REPLY_RATE_HZ` out."""

    rate_hz: int

    async def send(self, pcm: bytes) -> None:
        """Send a piece of the caller's audio."""
        ...

    async def receive(self) -> bytes:
        """Return the next audio of a reply, once it is there. Raises: RuntimeError if the call ended."""
        ...


class RealtimeWire:
    """OpenAI's Realtime events."""

    rate_hz = 24_000

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws

    async def send(self, pcm: bytes) -> None:
        """As `Wire.send`."""
        audio = base64.b64encode(pcm).decode()
        await self._ws.send_json({"type": "input_audio_buffer.append", "audio": audio})

    async def receive(self) -> bytes:
        """As `Wire.receive`."""
        event = await self.wait_for("response.output_audio.delta")
        return base64.b64decode(event["delta"])

    async def wait_for(self, kind: str) -> dict[str, str]:
        """Return the next event of a type."""
        async for message in self._ws:
            event: dict[str, str] = message.json()
            if event["type"] == kind:
                return event
        raise RuntimeError("the model server ended the session")


class PcmWire:
    """Binary messages of PCM16."""

    rate_hz = 16_000

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws

    async def send(self, pcm: bytes) -> None:
        """As `Wire.send`."""
        await self._ws.send_bytes(pcm)

    async def receive(self) -> bytes:
        """As `Wire.receive`."""
        async for message in self._ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                return bytes(message.data)
        raise RuntimeError("the cascade ended the call")


@dataclass
class Playback:
    """A reply as it is heard by a client that plays audio when it comes. Seconds are monotonic.

    first_byte_s, first_sound_s: arrival of the first audio, playing of its first loud sample
    gaps_s: how long nothing was there to play, between two pieces of the reply
    """

    first_byte_s: float | None = None
    first_sound_s: float | None = None
    ends_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)

    def add(self, at_s: float, pcm: bytes) -> None:
        """Take audio that arrived at `at_s`."""
        if self.first_byte_s is None:
            self.first_byte_s = at_s
        elif at_s > self.ends_s:
            self.gaps_s.append(at_s - self.ends_s)
        samples = np.frombuffer(pcm, np.int16)
        plays_s = max(at_s, self.ends_s)
        if self.first_sound_s is None:
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _LOUD)
            if loud.size:
                self.first_sound_s = plays_s + float(loud[0]) / REPLY_RATE_HZ
        self.ends_s = plays_s + samples.size / REPLY_RATE_HZ

    def is_over(self, now_s: float) -> bool:
        """Return true if everything was played some time ago."""
        return self.first_byte_s is not None and now_s > self.ends_s + _REPLY_OVER_S


@dataclass(frozen=True)
class Question:
    """A recorded sentence at the rate of a wire, and where its last word ends in it."""

    samples: np.ndarray
    end_s: float

    @classmethod
    def load(cls, file_name: str, rate_hz: int) -> Question:
        """Read a file of `tests/data/speech`, at 16 or 24 kHz."""
        pcm, file_rate_hz = read_wav(SPEECH / file_name)
        end_s = len(pcm) / 2 / file_rate_hz - _TAIL_S
        if rate_hz != file_rate_hz:
            assert rate_hz == RATE_HZ, rate_hz
            pcm = load_speech(file_name)
        return cls(np.frombuffer(pcm, np.int16), end_s)


class CascadeCaller:
    """Runs `speak` and `listen` at once, and asks meanwhile."""

    def __init__(self, wire: Wire) -> None:
        self.rate_hz = wire.rate_hz
        self._wire = wire
        self._piece = int(wire.rate_hz * PIECE_S)
        self._speech = np.zeros(0, np.int16)
        self._began: asyncio.Future[float] | None = None
        self._playback = Playback()
        self._random = np.random.default_rng(0)

    async def speak(self) -> None:
        """Send the microphone's audio, each piece when its last sample is captured."""
        began_s = time.monotonic()
        for number in itertools.count():
            due_s = began_s + (number + 1) * PIECE_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if self._began is not None:
                self._began.set_result(due_s - PIECE_S)
                self._began = None
            await self._wire.send(self._next_piece().tobytes())

    def _next_piece(self) -> np.ndarray:
        piece = self._random.integers(-_ROOM_PEAK, _ROOM_PEAK, self._piece, np.int16)
        speech, self._speech = self._speech[: self._piece], self._speech[self._piece :]
        piece[: speech.size] += speech
        return piece

    async def listen(self) -> None:
        """Play what comes."""
        while True:
            pcm = await self._wire.receive()
            self._playback.add(time.monotonic(), pcm)

    async def ask(self, question: Question) -> tuple[float, Playback]:
        """Ask, and hear the reply to its end; returns when the last word ended, and the reply.

        The reply is empty if there was none in time.
        """
        self._playback = playback = Playback()
        self._began = asyncio.get_running_loop().create_future()
        began, self._speech = self._began, question.samples
        ended_s = await began + question.end_s
        while not playback.is_over(time.monotonic()):
            if playback.first_byte_s is None and time.monotonic() > ended_s + _ANSWER_DEADLINE_S:
                break
            await asyncio.sleep(_POLL_S)
        return ended_s, playback
