"""Engines from their options. Blocks while models load."""

from __future__ import annotations

from typing import Final

from speech.engines.kokoro.voice import load_kokoro
from speech.engines.own import create_own_recogniser, create_own_voices, is_dotted_name
from speech.engines.piper import load_piper
from speech.engines.protocols import RecogniserEngine, VoiceEngine
from speech.engines.server_recogniser import ServerRecogniser
from speech.engines.server_voice import ServerVoices
from speech.engines.speech_server import MAX_CONNECTIONS
from speech.engines.whisper import WhisperFiles, WhisperRecogniser
from speech.errors import SpeechError
from speech.options import RecogniserOptions, VoiceOptions
from speech.settings import SpeechSettings

TINY: Final = "whisper-tiny.en"
BASE: Final = "whisper-base"

SERVER: Final = "server"

_DEFAULT_STT_MODEL: Final = "whisper-1"
_DEFAULT_TTS_MODEL: Final = "tts-1"
_DEFAULT_TTS_VOICE: Final = "alloy"

ENGLISH: Final = frozenset({"en"})


def create_recogniser(options: RecogniserOptions, settings: SpeechSettings) -> RecogniserEngine:
    """Load the recogniser that `options` name.

    Raises:
        SpeechError: in one line, why it cannot be had here and what to do.
    """
    if options.engine in {TINY, BASE}:
        return _create_whisper(options, settings)
    if options.engine == SERVER:
        base_url = _base_url(options.base_url, "STT_BASE_URL", "/v1/audio/transcriptions")
        model = options.model or _DEFAULT_STT_MODEL
        recogniser = ServerRecogniser(base_url, model=model, api_key=options.api_key)
        return RecogniserEngine(recogniser, model, slots=MAX_CONNECTIONS)
    if is_dotted_name(options.engine):
        return create_own_recogniser(options.engine)
    raise SpeechError(
        f"no recogniser is called {options.engine!r}: there are {TINY}, {BASE}, {SERVER} and "
        "package.module:function"
    )


def _create_whisper(options: RecogniserOptions, settings: SpeechSettings) -> RecogniserEngine:
    if options.directory is not None:
        model_files = WhisperFiles.of(options.directory)
    elif options.engine == BASE:
        model_files = WhisperFiles.base()
    else:
        model_files = WhisperFiles.tiny()
    recogniser = WhisperRecogniser(
        model_files, threads=settings.worker_threads, beam_size=settings.beam_size
    )
    model = options.engine if options.directory is None else options.directory.name
    languages = None if recogniser.is_multilingual else ENGLISH
    return RecogniserEngine(recogniser, model, languages)


def create_voices(options: VoiceOptions, settings: SpeechSettings) -> VoiceEngine:
    """Load the voices of the engine that `options` name.

    Raises:
        SpeechError: in one line, why they cannot be had here and what to do.
    """
    match options.engine:
        case "piper":
            return load_piper(options.directory)
        case "kokoro":
            return load_kokoro(options.directory, threads=settings.worker_threads)
        case "server":
            base_url = _base_url(options.base_url, "TTS_BASE_URL", "/v1/audio/speech")
            model = options.model or _DEFAULT_TTS_MODEL
            voices = ServerVoices(base_url, model=model, api_key=options.api_key)
            names = (_DEFAULT_TTS_VOICE,)
            return VoiceEngine(names, voices.voice, takes_any_name=True, slots=MAX_CONNECTIONS)
        case dotted if is_dotted_name(dotted):
            return create_own_voices(dotted)
        case _:
            raise SpeechError(
                f"no voice engine is called {options.engine!r}: there are piper, kokoro, {SERVER} "
                "and package.module:function"
            )


def _base_url(base_url: str | None, setting: str, path: str) -> str:
    if base_url is None:
        raise SpeechError(f"the engine {SERVER!r} needs the address of a {path} ({setting})")
    return base_url
