"""Voices that speak for simulated people, and the recogniser that hears what agents say.

They run in this process, in threads; each is loaded when it is first needed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from audio import Resampler, read_wav
from scenarios.format import ScenarioError, Voice
from scenarios.sound import SAMPLE_RATE_HZ
from speech.engines.create import BASE, ENGLISH, TINY, create_recogniser, create_voices
from speech.engines.protocols import AnyRecogniser, VoiceEngine
from speech.engines.shared import checked_transcript, resampled
from speech.engines.threaded import asynchronous_recogniser, asynchronous_voice
from speech.errors import SpeechError
from speech.options import RecogniserOptions, VoiceOptions
from speech.settings import SpeechSettings

_RECOGNISED_HZ: Final = 16_000
_MAX_KEPT: Final = 500
"""Spoken texts that are remembered: repeated runs say the same."""

_PAUSE_BYTES: Final = SAMPLE_RATE_HZ // 5 * 2
"""Before and after what is recognised, 200 ms of silence: models expect some."""


class Engines:
    """Shared by all runs of a command; `close` once."""

    def __init__(self, settings: SpeechSettings | None = None) -> None:
        self._settings = settings or SpeechSettings()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scenario")
        self._voices: dict[str, VoiceEngine] = {}
        self._recognisers: dict[str, AnyRecogniser] = {}
        self._spoken: dict[tuple[str, str, float, str], bytes] = {}
        self._loading = asyncio.Lock()

    async def close(self) -> None:
        """Free the threads; what they do ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def speak(self, text: str, voice: Voice, language: str) -> bytes:
        """Return a text as PCM16 mono at 24 kHz.

        Raises:
            ScenarioError: There is no such voice here, or it does not speak the language.
        """
        key = (voice.engine, voice.name, voice.speed, text)
        if key not in self._spoken:
            if len(self._spoken) >= _MAX_KEPT:
                self._spoken.pop(next(iter(self._spoken)))
            self._spoken[key] = await self._speak(text, voice, language)
        return self._spoken[key]

    async def _speak(self, text: str, voice: Voice, language: str) -> bytes:
        engine = await self._voice_engine(voice)
        if engine.languages is not None and language not in engine.languages:
            spoken = ", ".join(sorted(engine.languages))
            raise ScenarioError(
                f"the voice engine {voice.engine} speaks {spoken}, not {language}: name a voice that "
                "does (TTS_VOICE_DIR, or an engine of docs/local-model.md), or say a WAV"
            )
        name = voice.name or engine.names[0]
        if name not in engine.names and not engine.takes_any_name:
            raise ScenarioError(f"there is no voice {name!r}: there is {', '.join(engine.names)}")
        made = asynchronous_voice(engine.get(name), self._threads)
        try:
            pcm = b"".join([piece async for piece in resampled(made, text, voice.speed)])
        except (SpeechError, RuntimeError, ValueError, OSError) as error:
            raise ScenarioError(f"the voice failed: {error}") from error
        if not pcm:
            raise ScenarioError(f"there is nothing to pronounce in {text!r}")
        return pcm

    async def _voice_engine(self, voice: Voice) -> VoiceEngine:
        async with self._loading:
            if voice.engine not in self._voices:
                options = self._voice_options(voice)
                self._voices[voice.engine] = await self._load(create_voices, options)
            return self._voices[voice.engine]

    def _voice_options(self, voice: Voice) -> VoiceOptions:
        """Return those of the settings for this engine: its folder, address and key."""
        options = self._settings.options.voice
        if options is None or options.engine != voice.engine:
            return VoiceOptions(engine=voice.engine)
        return options.model_copy(update={"name": ""})

    async def recognise(self, pcm: bytes, language: str) -> str:
        """Return the words in PCM16 mono at 24 kHz; empty: none.

        Raises:
            ScenarioError: No recogniser here hears this language.
        """
        if not pcm:
            return ""
        name = TINY if language in ENGLISH else BASE
        async with self._loading:
            if name not in self._recognisers:
                engine = await self._load(create_recogniser, RecogniserOptions(engine=name))
                self._recognisers[name] = engine.recogniser
        recogniser = asynchronous_recogniser(self._recognisers[name], self._threads)
        silence = bytes(_PAUSE_BYTES)
        resampler = Resampler(SAMPLE_RATE_HZ, _RECOGNISED_HZ)
        pcm16k = resampler.push(silence + pcm + silence) + resampler.flush()
        heard = await recogniser.transcribe(pcm16k, language=language)
        return checked_transcript(heard).text

    async def _load(self, create: Any, options: Any) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, create, options, self._settings)
        except SpeechError as error:
            raise ScenarioError(str(error)) from error

    async def read(self, path: Path) -> bytes:
        """Return a WAV as PCM16 mono at 24 kHz.

        Raises:
            ScenarioError: It cannot be read.
        """
        try:
            return await asyncio.to_thread(read_wav, path, SAMPLE_RATE_HZ)
        except OSError as error:
            raise ScenarioError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ScenarioError(str(error)) from error
