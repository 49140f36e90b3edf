"""The user as the provider hears them: speech and its words, telephone keys, silence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The provider heard the user begin; `audio_start_ms` counts sent input audio."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The provider heard the user end; `audio_end_ms` counts sent input audio."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class InputCommitted:
    """The user's audio became a conversation item."""

    item_id: str
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class InputTimeoutTriggered:
    """The configured idle time passed without speech; a reply to the silence follows."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class InputTranscriptDelta:
    """A piece of what the user said."""

    item_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class InputTranscriptDone:
    """The whole transcript of one user turn.

    input_tokens, output_tokens: what the transcription was billed for; None where the provider does
        not say
    """

    item_id: str
    transcript: str
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class InputTranscriptFailed:
    """The user's words could not be recognised; the audio itself may still be understood."""

    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """A telephone key: one of `0` to `9`, `*`, `#`, `A` to `D`; `received_at_s` is Unix time."""

    key: str
    received_at_s: float
