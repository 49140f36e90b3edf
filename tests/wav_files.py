"""WAV files and PCM dumps that tests read back."""

from __future__ import annotations

import threading
import wave
from pathlib import Path


def read_wav(path: Path) -> tuple[bytes, int]:
    """PCM16 mono samples and their rate in Hz."""
    with wave.open(str(path), "rb") as wav:
        assert (wav.getsampwidth(), wav.getnchannels()) == (2, 1), path
        return wav.readframes(wav.getnframes()), wav.getframerate()


def join_dumps(timeout_s: float = 10.0) -> None:
    """Wait until the threads of closed `audio.PcmDump` objects have written everything."""
    for thread in threading.enumerate():
        if thread.name.startswith("pcm-dump"):
            thread.join(timeout_s)
            assert not thread.is_alive()


def read_dump(directory: Path, name: str) -> bytes:
    """The only dump of this name, once it is written."""
    join_dumps()
    (path,) = directory.glob(f"{name}-*.pcm")
    return path.read_bytes()
