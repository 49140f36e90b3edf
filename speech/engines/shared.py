"""A recogniser and voices that all sessions share: fair turns, and a memory of what was spoken."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

from audio import Resampler
from speech.engines.protocols import (
    Recogniser,
    RecogniserEngine,
    Transcript,
    Voice,
    VoiceEngine,
)
from speech.engines.threaded import asynchronous_recogniser, asynchronous_voice
from speech.engines.work_queue import Urgency, WorkQueue
from speech.errors import EngineError
from speech.sample_rates import WIRE_RATE_HZ

REST_S = 30.0

_REMEMBERED_BYTES = 16 * 1024 * 1024
_REMEMBERED_TEXT_CHARACTERS = 200


class SharedRecogniser:
    """A loaded recogniser, its threads and its queue."""

    name = "recogniser"

    def __init__(self, engine: RecogniserEngine, *, threads: int) -> None:
        """threads: as many utterances at a time, unless the engine says otherwise"""
        slots = engine.slots or threads
        self.engine = engine
        self.queue = WorkQueue(slots)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="hear")
        self._recogniser: Recogniser = asynchronous_recogniser(engine.recogniser, self._threads)

    async def transcribe(
        self, pcm16k: bytes, *, owner: object, urgency: Urgency, language: str | None
    ) -> Transcript:
        """Recognise PCM16 mono at 16 kHz when it is `owner`'s turn."""
        async with self.queue.slot(owner, urgency):
            return checked_transcript(await self._recogniser.transcribe(pcm16k, language=language))

    async def close(self) -> None:
        """Drop what waits, and free what the recogniser holds; calls in threads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await _close(self.engine.recogniser)


def checked_transcript(transcript: Any) -> Transcript:
    """Accept what an engine of the owner's own may return: a plain text too.

    Raises:
        EngineError: anything else.
    """
    match transcript:
        case Transcript():
            return transcript
        case str():
            return Transcript(transcript.strip())
        case _:
            raise EngineError(f"the recogniser returned {type(transcript).__name__}, no Transcript")


class SharedVoices:
    """The loaded voices of one engine, their threads and queue, and what they said lately."""

    name = "voice"

    def __init__(self, engine: VoiceEngine, *, threads: int) -> None:
        """threads: as many clauses at a time, unless the engine says otherwise"""
        slots = engine.slots or threads
        self.engine = engine
        self.queue = WorkQueue(slots)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="speak")
        self._failed_s: float | None = None
        self._remembered: OrderedDict[tuple[str, str, float], bytes] = OrderedDict()
        self._remembered_bytes = 0

    def note_failure(self) -> None:
        """Let others speak for the next `REST_S`: each try may cost a listener the whole timeout."""
        self._failed_s = time.monotonic()

    @property
    def is_failing(self) -> bool:
        """True shortly after a failure."""
        return self._failed_s is not None and time.monotonic() - self._failed_s < REST_S

    async def speak(
        self, name: str, text: str, speed: float, *, owner: object, urgency: Urgency
    ) -> AsyncGenerator[bytes, None]:
        """Yield `text` as PCM16 mono at 24 kHz when it is `owner`'s turn; known text at once."""
        key = (name, text, speed)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            yield self._remembered[key]
            return
        made = []
        async with self.queue.slot(owner, urgency):
            voice = asynchronous_voice(self.engine.get(name), self._threads)
            async with aclosing(resampled(voice, text, speed)) as pieces:
                async for pcm in pieces:
                    made.append(pcm)
                    yield pcm
        self._remember(key, b"".join(made))

    def _remember(self, key: tuple[str, str, float], pcm: bytes) -> None:
        if key in self._remembered or len(key[1]) > _REMEMBERED_TEXT_CHARACTERS:
            return
        self._remembered[key] = pcm
        self._remembered_bytes += len(pcm)
        while self._remembered_bytes > _REMEMBERED_BYTES:
            _, oldest = self._remembered.popitem(last=False)
            self._remembered_bytes -= len(oldest)

    async def close(self) -> None:
        """Drop what waits, and free what the voices hold; calls in threads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await _close(self.engine.get(self.engine.names[0]))


async def resampled(voice: Voice, text: str, speed: float) -> AsyncGenerator[bytes, None]:
    """Yield what `voice` makes at the rate of the wire, and close its iterator in any case."""
    resampler = Resampler(voice.sample_rate_hz, WIRE_RATE_HZ)
    made: Any = voice.synthesise(text, speed=speed)
    half_sample = b""
    try:
        async for piece in made:
            pcm = half_sample + piece
            whole = len(pcm) // 2 * 2
            pcm, half_sample = pcm[:whole], pcm[whole:]
            if converted := resampler.push(pcm):
                yield converted
    finally:
        if (aclose := getattr(made, "aclose", None)) is not None:
            await aclose()
    if rest := resampler.flush():
        yield rest


async def _close(engine: Any) -> None:
    """Close an engine that can be: `aclose` is awaited, `close` is called."""
    if (aclose := getattr(engine, "aclose", None)) is not None:
        await aclose()
    elif (close := getattr(engine, "close", None)) is not None:
        close()
