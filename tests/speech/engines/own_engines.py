"""Engines as an owner writes them, blocking and asynchronous."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Iterator

from speech.engines.protocols import Transcript, VoiceEngine
from tests.fakes.audio_server import tone


class BlockingEars:
    """Hears how long it was, in a thread."""

    def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        assert threading.current_thread() is not threading.main_thread()
        return Transcript(f"{len(pcm16k) // 32} ms of {language}")


class AsyncEars:
    """Hears how long it was, on the loop; returns a plain text."""

    async def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> str:
        assert threading.current_thread() is threading.main_thread()
        return f" {len(pcm16k) // 32} ms of {language} "


class WrappedEars:
    """A plain method that returns a coroutine."""

    def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Awaitable[str]:
        return AsyncEars().transcribe(pcm16k, language=language)


class WholeVoice:
    """All at once, in a thread."""

    sample_rate_hz = 24_000

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        return tone(int(len(text) * 10 / speed))


class PiecesVoice(WholeVoice):
    """In pieces that cut samples in two, in a thread."""

    def synthesise(self, text: str, *, speed: float = 1.0) -> Iterator[bytes]:  # type: ignore[override]
        pcm = super().synthesise(text, speed=speed)
        for start in range(0, len(pcm), 333):
            yield pcm[start : start + 333]


class AsyncVoice:
    """In pieces, on the loop."""

    sample_rate_hz = 24_000

    async def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncIterator[bytes]:
        for _ in range(len(text)):
            yield tone(int(10 / speed))


class WrappedVoice:
    """A plain method that returns an asynchronous iterator."""

    sample_rate_hz = 24_000

    def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncIterator[bytes]:
        return AsyncVoice().synthesise(text, speed=speed)


def two_voices() -> VoiceEngine:
    """Voices by name."""
    voices = {"ada": WholeVoice(), "bob": PiecesVoice()}
    return VoiceEngine(("ada", "bob"), voices.__getitem__)


def failing() -> None:
    """Raise what nobody expects."""
    raise ZeroDivisionError("by design\nand more")


def nothing() -> None:
    """Return no engine."""


async def coroutine() -> WholeVoice:
    """Return an engine too late."""
    return WholeVoice()
