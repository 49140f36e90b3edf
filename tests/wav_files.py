"""Reads the WAV files that tests bring and calls leave."""

from __future__ import annotations

import wave
from pathlib import Path


def read_wav(path: Path) -> tuple[bytes, int]:
    """PCM16 mono samples and their rate in Hz."""
    with wave.open(str(path), "rb") as wav:
        assert (wav.getsampwidth(), wav.getnchannels()) == (2, 1), path
        return wav.readframes(wav.getnframes()), wav.getframerate()
