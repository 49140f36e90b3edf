"""Adapters that run blocking engines in threads, behind the asynchronous protocols."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, cast

from speech.engines.protocols import (
    AnyRecogniser,
    AnyVoice,
    BlockingRecogniser,
    BlockingVoice,
    Recogniser,
    Transcript,
    Voice,
)

T = TypeVar("T")


class ThreadedRecogniser:
    """A blocking recogniser, run in threads."""

    def __init__(self, recogniser: BlockingRecogniser, threads: ThreadPoolExecutor) -> None:
        self._recogniser = recogniser
        self._threads = threads

    async def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        """Recognise PCM16 mono at 16 kHz. Cancelled work that has begun ends by itself."""
        call = partial(self._recogniser.transcribe, pcm16k, language=language)
        made: Any = await _run(self._threads, call)
        # Functions that return a coroutine do not look like coroutine functions.
        return cast("Transcript", await made if inspect.isawaitable(made) else made)


class ThreadedVoice:
    """A blocking voice, run in threads."""

    def __init__(self, voice: BlockingVoice, threads: ThreadPoolExecutor) -> None:
        self._voice = voice
        self._threads = threads

    @property
    def sample_rate_hz(self) -> int:
        """That of the voice."""
        return self._voice.sample_rate_hz

    async def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncGenerator[bytes, None]:
        """Yield `text` as PCM16 mono. A piece under way when this is closed is made and dropped."""
        call = partial(self._voice.synthesise, text, speed=speed)
        made: Any = await _run(self._threads, call)
        if isinstance(made, bytes):
            if made:
                yield made
        elif hasattr(made, "__aiter__"):
            async for piece in made:
                yield piece
        else:
            pieces: Iterator[bytes] = iter(made)
            while (piece := await _run(self._threads, partial(next, pieces, None))) is not None:
                yield piece


async def _run(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)


def asynchronous_recogniser(recogniser: AnyRecogniser, threads: ThreadPoolExecutor) -> Recogniser:
    """Return `recogniser` if its method is asynchronous, and otherwise an adapter with threads."""
    if inspect.iscoroutinefunction(recogniser.transcribe):
        return cast("Recogniser", recogniser)
    return ThreadedRecogniser(cast("BlockingRecogniser", recogniser), threads)


def asynchronous_voice(voice: AnyVoice, threads: ThreadPoolExecutor) -> Voice:
    """Return `voice` if its method is asynchronous, and otherwise an adapter with threads."""
    if inspect.isasyncgenfunction(voice.synthesise):
        return cast("Voice", voice)
    return ThreadedVoice(cast("BlockingVoice", voice), threads)
