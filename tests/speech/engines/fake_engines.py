"""Engines that cost nothing, for tests of what is around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from speech.engine_pool import Engines
from speech.engines.protocols import RecogniserEngine, Transcript, VoiceEngine
from speech.engines.vad import SileroDetector
from tests.fakes.audio_server import tone

ENGLISH = frozenset({"en"})


class FakeEars:
    """Hears `text`, once `go` is set; fails with `error` if there is one."""

    def __init__(self, text: str = "hello") -> None:
        self.text = text
        self.error: Exception | None = None
        self.languages: list[str | None] = []
        self.go = asyncio.Event()
        self.go.set()

    async def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        self.languages.append(language)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Transcript(self.text)


class FakeVoice:
    """Speaks 100 ms of tone for any text, once `go` is set; fails with `error` if there is one."""

    sample_rate_hz = 24_000

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.error: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncIterator[bytes]:
        self.texts.append(text)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        yield tone(int(100 / speed))


def fake_engines(
    ears: FakeEars,
    voice: FakeVoice,
    *,
    languages: frozenset[str] | None = ENGLISH,
    slots: int | None = None,
) -> Engines:
    """Return them as what a process loads."""
    return Engines(
        RecogniserEngine(ears, "ears", languages, slots),
        VoiceEngine(("ada",), lambda _name: voice, languages=languages, slots=slots),
        SileroDetector,
    )
