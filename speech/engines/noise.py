"""Noise suppression before the recogniser: WebRTC's, as it runs in browsers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

from speech.engines.files import ModelFilesError

FRAME_BYTES: Final = 320
"""10 ms at 16 kHz, which is what the package takes."""

LEVELS: Final = {"near_field": 2, "far_field": 3}
"""Of 4: a microphone before the mouth, and one across the room."""

_NOT_INSTALLED: Final = (
    "package webrtc-noise-gain is not installed: run `make setup SPEECH=noise` to suppress noise"
)


def is_installed() -> bool:
    """Return true if the package is there."""
    return find_spec("webrtc_noise_gain") is not None


def require_installed() -> None:
    """Raises: ModelFilesError: the package is not there."""
    if not is_installed():
        raise ModelFilesError(_NOT_INSTALLED)


class NoiseSuppressor:
    """Keeps the state of one stream of PCM16 mono at 16 kHz. It takes 0.2 % of a core."""

    def __init__(self, level: int) -> None:
        """level: 1 to 4. Raises: ModelFilesError: the package is not there."""
        require_installed()
        from webrtc_noise_gain import AudioProcessor

        self._processor: Any = AudioProcessor(0, level)
        self._rest = b""

    def push(self, pcm: bytes) -> bytes:
        """Take in the next piece; returns whole frames, at most 10 ms behind."""
        pcm = self._rest + pcm
        whole = len(pcm) // FRAME_BYTES * FRAME_BYTES
        self._rest = pcm[whole:]
        return b"".join(
            self._processor.Process10ms(pcm[start : start + FRAME_BYTES]).audio
            for start in range(0, whole, FRAME_BYTES)
        )

    def flush(self) -> bytes:
        """Return what is left of the stream, as it was."""
        rest, self._rest = self._rest, b""
        return rest
