"""`Abilities`: what the engines of a session can, for its settings on the wire. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from speech.errors import ClientError

OPENAI_VOICES: Final = frozenset(
    ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
)
"""Clients of OpenAI name these by default: they get the default voice, and `session.updated` says so."""

_LISTED_VOICES: Final = 12
_LANGUAGE: Final = "session.audio.input.transcription.language"


@dataclass(frozen=True, slots=True)
class Abilities:
    """The abilities of recogniser, voice and noise suppression.

    recogniser: its name
    hears: ISO 639-1 codes; None: any
    multilingual: name of the recogniser that takes over for other languages; None: none is set up
    voices: the first is the default
    takes_any_voice: other names may be asked for
    speaks: ISO 639-1 codes; None: any
    language: ISO 639-1 code with which sessions begin; None: not known
    can_suppress_noise: the package for it is there
    suppresses_noise: sessions begin with it
    """

    recogniser: str
    hears: frozenset[str] | None
    multilingual: str | None
    voices: tuple[str, ...]
    takes_any_voice: bool
    speaks: frozenset[str] | None
    language: str | None = None
    can_suppress_noise: bool = False
    suppresses_noise: bool = False

    @property
    def transcription(self) -> dict[str, Any]:
        """The transcription with which sessions begin."""
        return self.transcription_in(self.language)

    def transcription_in(self, language: str | None) -> dict[str, Any]:
        """Return the transcription of what is spoken in `language`, which must be checked."""
        if self.hears is not None and len(self.hears) == 1 and language is None:
            language = next(iter(self.hears))
        own = self.hears is None or language in self.hears
        shown = {"model": self.recogniser if own else self.multilingual}
        return shown if language is None else {**shown, "language": language}

    def voice(self, asked: str | None) -> str:
        """Return the voice for one that was asked for.

        Raises:
            ClientError: there is no such voice.
        """
        if asked is None or asked in self.voices:
            return asked or self.voices[0]
        if asked in OPENAI_VOICES:
            return self.voices[0]
        if self.takes_any_voice:
            return asked
        listed = ", ".join(self.voices[:_LISTED_VOICES])
        raise ClientError(
            "unsupported_voice",
            f"The local model has no voice of that name: there is {listed}.",
            param="session.audio.output.voice",
        )

    def check_language(self, language: str, *, is_spoken: bool) -> None:
        """Refuse a language that cannot be heard, or not be spoken where replies are.

        Raises:
            ClientError: saying what would help.
        """
        shown = language[:20]
        if self.hears is not None and language not in self.hears and self.multilingual is None:
            raise ClientError(
                "unsupported_language",
                f"The recogniser {self.recogniser} hears {_list(self.hears)} only, not {shown!r}: "
                "install the multilingual one (make setup SPEECH=multilingual), or set "
                "STT_BASE_URL to a server of /v1/audio/transcriptions.",
                param=_LANGUAGE,
            )
        if is_spoken and self.speaks is not None and language not in self.speaks:
            raise ClientError(
                "unsupported_language",
                f"The voice {self.voices[0]} speaks {_list(self.speaks)} only, not {shown!r}: set "
                "TTS_BASE_URL to a server of /v1/audio/speech, or ask for replies in text.",
                param=_LANGUAGE,
            )


def primary_language(tag: str | None) -> str | None:
    """Return the ISO 639-1 code of a BCP 47 tag; None for an empty one."""
    return (tag or "").replace("_", "-").split("-")[0].strip().lower() or None


def _list(codes: frozenset[str]) -> str:
    return ", ".join(sorted(codes))
