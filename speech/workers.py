"""Engines off the loop: bounded threads shared by all sessions, and a memory of spoken clauses."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from speech.engines import files
from speech.engines.recogniser import Recogniser, Transcript, WhisperRecogniser
from speech.engines.vad import SileroDetector, SpeechDetector
from speech.engines.voice import PiperVoice, Voice
from speech.resampling import WIRE_RATE_HZ, Resampler
from speech.settings import SpeechSettings
from speech.spoken import pause_ms, spoken_form

log = logging.getLogger(__name__)

_REMEMBERED_BYTES = 16 * 1024 * 1024
_REMEMBERED_CLAUSE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Engines:
    """The loaded models of a process."""

    recogniser: Recogniser
    voice: Voice
    new_detector: Callable[[], SpeechDetector]


def load_engines(settings: SpeechSettings) -> Engines:
    """Verify and load everything; blocks for two to three seconds.

    Raises:
        ModelFilesError: in one line, what is missing and what to do.
    """
    files.locate(files.VAD_WEIGHTS)
    SileroDetector()
    recogniser = WhisperRecogniser(
        directory=settings.whisper_dir,
        threads=settings.worker_threads,
        beam_size=settings.beam_size,
    )
    noise = np.random.default_rng(0).normal(0, 1500, 16_000).astype(np.int16)
    recogniser.transcribe(noise.tobytes())  # the first call is three times as slow
    return Engines(recogniser, PiperVoice(directory=settings.voice_dir), SileroDetector)


class Workers:
    """Runs recognition and synthesis in threads of their own, so neither waits for the other.

    Queues are bounded by the sessions: each has at most one clause and few utterances under way.
    """

    def __init__(self, engines: Engines, *, threads: int) -> None:
        self.engines = engines
        self._hearing = ThreadPoolExecutor(threads, thread_name_prefix="hear")
        self._speaking = ThreadPoolExecutor(threads, thread_name_prefix="speak")
        self._remembered: OrderedDict[tuple[str, float], bytes] = OrderedDict()
        self._remembered_bytes = 0

    async def transcribe(self, pcm: bytes) -> Transcript:
        """Recognise PCM16 mono at 16 kHz."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._hearing, self.engines.recogniser.transcribe, pcm)

    async def speak(self, clause: str, speed: float) -> bytes:
        """`clause` as PCM16 mono at 24 kHz, with the pause that follows it."""
        key = (clause, speed)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        loop = asyncio.get_running_loop()
        pcm = await loop.run_in_executor(self._speaking, self._synthesise, clause, speed)
        if len(clause) <= _REMEMBERED_CLAUSE_CHARACTERS:
            self._remember(key, pcm)
        return pcm

    def _synthesise(self, clause: str, speed: float) -> bytes:
        voice = self.engines.voice
        audio = voice.synthesise(spoken_form(clause), speed=speed)
        resampler = Resampler(voice.sample_rate_hz, WIRE_RATE_HZ)
        return resampler.push(audio) + resampler.flush() + bytes(pause_ms(clause) * 48)

    def _remember(self, key: tuple[str, float], pcm: bytes) -> None:
        if key in self._remembered:
            return
        self._remembered[key] = pcm
        self._remembered_bytes += len(pcm)
        while self._remembered_bytes > _REMEMBERED_BYTES:
            _, oldest = self._remembered.popitem(last=False)
            self._remembered_bytes -= len(oldest)

    def close(self) -> None:
        """Drop what waits; calls under way end by themselves within a second."""
        for pool in (self._hearing, self._speaking):
            pool.shutdown(wait=False, cancel_futures=True)
