"""Settings of the local model server."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr

from speech.options import ProcessOptions, SessionOptions


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients may make the server hold; exceeding one is an `error` event."""

    sessions: int = 64
    frame_bytes: int = 24 * 1024 * 1024
    append_bytes: int = 15 * 1024 * 1024
    turn_s: float = 120.0
    items: int = 1_000
    text_characters: int = 32_000
    kept_audio_bytes: int = 24_000_000
    outbox_events: int = 4_000
    outbox_bytes: int = 64 * 1024 * 1024
    send_timeout_s: float = 20.0
    session_s: float = 3_600.0
    load_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """Settings of one model server process.

    worker_threads: pieces of work at a time in each recogniser and each voice.
    options: defaults of sessions.
    api_key: needed by each client, as Bearer key; None: everyone on this machine may connect.
    allowed_origins: of pages that may connect besides those of this machine.
    options_secret: that a client shows to choose options of its own for a session.
    lead_s: how far speech may be generated ahead of real time; bounds what an interruption wastes.
    """

    host: str = "127.0.0.1"
    port: int = 0
    worker_threads: int = 2
    beam_size: int = 1
    lead_s: float = 10.0
    timezone: str | None = None
    options: SessionOptions = field(default_factory=SessionOptions)
    api_key: str | None = field(default=None, repr=False)
    allowed_origins: frozenset[str] = frozenset()
    options_secret: str | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(cls, options: ProcessOptions) -> SpeechSettings:
        """Return the settings of a process with these options."""
        return cls(
            options=options.session,
            api_key=_clear(options.api_key),
            allowed_origins=frozenset(options.allowed_origins),
            options_secret=_clear(options.options_secret),
        )


def _clear(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
