"""Which engines the options of a session mean, and whether they hear and speak its language. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from speech.abilities import Abilities, primary_language
from speech.engines import files, noise
from speech.engines.create import BASE, ENGLISH, TINY
from speech.engines.protocols import RecogniserEngine, Transcript, VoiceEngine
from speech.errors import ClientError, UnsupportedLanguageError
from speech.options import RecogniserOptions, SessionOptions, VoiceOptions

PACKAGED_VOICE: Final = "joe"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The engines of a session.

    language: ISO 639-1 code; None: not known
    """

    recogniser: RecogniserOptions
    voice: VoiceOptions
    language: str | None
    suppresses_noise: bool

    @property
    def voice_engine(self) -> VoiceOptions:
        """Options of what is loaded: a name chooses among the voices of an engine."""
        return self.voice.model_copy(update={"name": ""})


def resolve(options: SessionOptions) -> Chosen:
    """Return what `options` mean; a language that the packaged recogniser does not hear picks another."""
    recogniser = options.recogniser or RecogniserOptions()
    language = primary_language(options.language)
    if language is not None and language not in ENGLISH and _is_packaged_english(recogniser):
        recogniser = recogniser.model_copy(update={"engine": BASE})
    voice = options.voice or VoiceOptions()
    return Chosen(recogniser, voice, language, suppresses_noise=bool(options.noise_suppression))


def _is_packaged_english(options: RecogniserOptions) -> bool:
    return options.engine == TINY and options.directory is None


def abilities_of(chosen: Chosen, recogniser: RecogniserEngine, voices: VoiceEngine) -> Abilities:
    """Return what a session with these engines can."""
    has_multilingual = _is_packaged_english(chosen.recogniser) and files.is_installed(
        files.WHISPER_BASE_WEIGHTS
    )
    names = voices.names
    if chosen.voice.name:
        names = (chosen.voice.name, *(name for name in names if name != chosen.voice.name))
    return Abilities(
        recogniser=recogniser.model,
        hears=recogniser.languages,
        multilingual=BASE if has_multilingual else None,
        voices=names,
        takes_any_voice=voices.takes_any_name,
        speaks=voices.languages,
        language=chosen.language,
        can_suppress_noise=noise.is_installed(),
        suppresses_noise=chosen.suppresses_noise,
    )


def expected_abilities(options: SessionOptions) -> Abilities:
    """Return what a session can as far as it is known before anything is loaded: rather too much."""
    chosen = resolve(options)
    is_english = _is_packaged_english(chosen.recogniser)
    recogniser = RecogniserEngine(_NotLoaded(), TINY, ENGLISH if is_english else None)
    is_joe = chosen.voice == VoiceOptions()
    names = (PACKAGED_VOICE if is_joe else chosen.voice.name or PACKAGED_VOICE,)
    languages = ENGLISH if is_joe else None
    voices = VoiceEngine(names, lambda _name: _NotLoaded(), not is_joe, languages)
    return abilities_of(chosen, recogniser, voices)


class _NotLoaded:
    """In place of an engine of which only the abilities are asked."""

    sample_rate_hz = 0

    def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        raise NotImplementedError

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes:
        raise NotImplementedError


def check(chosen: Chosen, recogniser: RecogniserEngine, voices: VoiceEngine) -> None:
    """Refuse engines that do not go together.

    Raises:
        SpeechError: in one line, what is missing and what to do.
    """
    if chosen.suppresses_noise:
        noise.require_installed()
    name = chosen.voice.name
    if name and name not in voices.names and not voices.takes_any_name:
        listed = ", ".join(voices.names)
        raise files.ModelFilesError(f"there is no voice {name!r} (TTS_VOICE): there is {listed}")
    if chosen.language is not None:
        try:
            abilities_of(chosen, recogniser, voices).check_language(chosen.language, is_spoken=True)
        except ClientError as error:
            raise UnsupportedLanguageError(str(error)) from error
