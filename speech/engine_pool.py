"""`EnginePool`: the engines of a process, loaded once for equal options, shared by all sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from speech.abilities import Abilities
from speech.engines import files
from speech.engines.choice import Chosen, abilities_of, check, resolve
from speech.engines.create import BASE, create_recogniser, create_voices
from speech.engines.protocols import RecogniserEngine, VoiceEngine
from speech.engines.shared import SharedRecogniser, SharedVoices
from speech.engines.vad import SileroDetector, SpeechDetector
from speech.errors import SpeechError
from speech.options import RecogniserOptions, SessionOptions
from speech.session_engines import LoadVoices, SessionEngines
from speech.settings import SpeechSettings
from speech.turns.end_of_turn import EndOfTurn, load_end_of_turn_model
from speech.turns.smart_turn import EndOfTurnModel

_log = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_LOADED = 8
"""Recognisers and voices at once; those of no session make room for others."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The models that a process loads at its start, for sessions that ask for no others."""

    recogniser: RecogniserEngine
    voices: VoiceEngine
    new_detector: Callable[[], SpeechDetector]
    end_of_turn: EndOfTurnModel | None = None


def load_engines(settings: SpeechSettings) -> Engines:
    """Verify and load everything; blocks for two to three seconds.

    Raises:
        SpeechError: in one line, what is missing and what to do.
    """
    files.locate(files.VAD_WEIGHTS)
    SileroDetector()
    chosen = resolve(settings.options)
    recogniser = create_recogniser(chosen.recogniser, settings)
    voices = create_voices(chosen.voice, settings)
    check(chosen, recogniser, voices)
    return Engines(recogniser, voices, SileroDetector, load_end_of_turn_model())


class EnginePool:
    """Engines by their options: those of the process, and such as sessions asked for."""

    def __init__(self, engines: Engines, settings: SpeechSettings) -> None:
        self._settings = settings
        self._new_detector = engines.new_detector
        self._end_of_turn = EndOfTurn(engines.end_of_turn, threads=settings.worker_threads)
        own = resolve(settings.options)
        self._recognisers = {own.recogniser: self._share_recogniser(engines.recogniser)}
        self._voices = {own.voice_engine: self._share_voices(engines.voices)}
        self._sessions: set[SessionEngines] = set()
        self._loading = asyncio.Lock()

    def _share_recogniser(self, engine: RecogniserEngine) -> SharedRecogniser:
        return SharedRecogniser(engine, threads=self._settings.worker_threads)

    def _share_voices(self, engine: VoiceEngine) -> SharedVoices:
        return SharedVoices(engine, threads=self._settings.worker_threads)

    @property
    def loaded(self) -> list[SharedRecogniser | SharedVoices]:
        """All engines, used or not."""
        return [*self._recognisers.values(), *self._voices.values()]

    def session(self, options: SessionOptions | None = None) -> SessionEngines:
        """Return the engines of a session, which closes them.

        options: over those of the process; what `prepare` was not called with is not there
        """
        chosen = self._choose(options)
        recogniser = self._recognisers[chosen.recogniser]
        voices = self._voices[chosen.voice_engine]
        engines = SessionEngines(
            recogniser,
            voices,
            abilities_of(chosen, recogniser.engine, voices.engine),
            new_detector=self._new_detector,
            end_of_turn=self._end_of_turn,
            voice=chosen.voice.name,
            load_multilingual=lambda: self._recogniser_of(RecogniserOptions(engine=BASE)),
            load_fallback_voices=self._fallback_for(chosen),
            on_close=self._sessions.discard,
        )
        self._sessions.add(engines)
        return engines

    def _fallback_for(self, chosen: Chosen) -> LoadVoices | None:
        packaged = resolve(SessionOptions())
        if chosen.voice_engine == packaged.voice_engine:
            return None
        return lambda: self._voices_of(packaged)

    def _choose(self, options: SessionOptions | None) -> Chosen:
        own = self._settings.options
        return resolve(own if options is None else options.over(own))

    async def prepare(self, options: SessionOptions | None = None) -> Abilities:
        """Load what a session with these options needs beside the engines of the process.

        Returns what such a session can.

        Raises:
            SpeechError: in one line, why that is impossible here.
        """
        chosen = self._choose(options)
        recogniser = await self._recogniser_of(chosen.recogniser)
        voices = await self._voices_of(chosen)
        check(chosen, recogniser.engine, voices.engine)
        return abilities_of(chosen, recogniser.engine, voices.engine)

    def session_abilities(self) -> Abilities:
        """Return what sessions without options of their own can."""
        chosen = self._choose(None)
        recogniser = self._recognisers[chosen.recogniser]
        return abilities_of(chosen, recogniser.engine, self._voices[chosen.voice_engine].engine)

    def overload(self) -> str | None:
        """Return why one more session would have those that run stutter; None: it would not.

        As many sessions as twice the worker threads are always taken: fewer never wait for long.
        """
        if len(self._sessions) < 2 * self._settings.worker_threads:
            return None
        for engine in self.loaded:
            figures = engine.queue.load()
            if figures.is_overloaded:
                return (
                    f"The {engine.name} is at its limit with {len(self._sessions)} sessions "
                    f"({figures.use:.0%} used, waits of {figures.longest_wait_s:.1f} s): try again "
                    "later."
                )
        return None

    async def _recogniser_of(self, options: RecogniserOptions) -> SharedRecogniser:
        async with self._loading:
            if options not in self._recognisers:
                await self._make_room()
                engine = await load_in_thread(lambda: create_recogniser(options, self._settings))
                self._recognisers[options] = self._share_recogniser(engine)
            return self._recognisers[options]

    async def _voices_of(self, chosen: Chosen) -> SharedVoices:
        key = chosen.voice_engine
        async with self._loading:
            if key not in self._voices:
                await self._make_room()
                engine = await load_in_thread(lambda: create_voices(chosen.voice, self._settings))
                self._voices[key] = self._share_voices(engine)
            return self._voices[key]

    async def _make_room(self) -> None:
        """Close the oldest engine that no session uses, if there are as many as may be."""
        if len(self.loaded) < _MAX_LOADED:
            return
        for loaded in (self._recognisers, self._voices):
            engines: dict[Any, SharedRecogniser | SharedVoices] = dict(loaded)
            for key in [*engines][1:]:  # the first is the process's own
                if not any(session.uses(engines[key]) for session in self._sessions):
                    del loaded[key]
                    await engines[key].close()
                    return
        raise SpeechError("too many different recognisers and voices are in use: try again later")

    async def close(self) -> None:
        """Drop what waits, and free the engines; calls in threads end by themselves."""
        self._end_of_turn.close()
        for recogniser in self._recognisers.values():
            await recogniser.close()
        for voices in self._voices.values():
            await voices.close()


async def load_in_thread(create: Callable[[], T]) -> T:
    """Load an engine in a thread of its own.

    Raises:
        SpeechError: in one line, why that is impossible here.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="load")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, create)
    except SpeechError:
        raise
    except (MemoryError, OSError, RuntimeError) as error:
        # What the libraries under the engines say when memory or threads are short.
        _log.debug("the models cannot be loaded", exc_info=error)
        reason = (str(error).splitlines() or [""])[0][:200]
        text = f"the models cannot be loaded ({type(error).__name__}: {reason})"
        raise SpeechError(f"{text}; is there memory and are there threads for them?") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
