"""What the local model server lets its owner decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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

    whisper_dir, voice_dir: the user's own model files instead of the packaged, pinned ones; these
        are trusted as they are, without a checksum.
    worker_threads: threads for recognition, and as many for synthesis.
    lead_s: how far speech may be generated ahead of real time; bounds what an interruption wastes.
    """

    host: str = "127.0.0.1"
    port: int = 0
    whisper_dir: Path | None = None
    voice_dir: Path | None = None
    worker_threads: int = 2
    beam_size: int = 1
    lead_s: float = 10.0
    timezone: str | None = None
    limits: Limits = field(default_factory=Limits)
