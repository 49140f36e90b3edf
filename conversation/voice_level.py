"""A local ear: is there a voice in these 20 ms? By loudness above the room's noise alone. Pure.

It knows nothing of meaning, but it is there as soon as the sound is: what it says is a first
opinion that may make the agent pause, never more.
"""

from __future__ import annotations

from typing import Final

import numpy as np

FRAME_MS: Final = 20
ONSET_FRAMES: Final = 3
RELEASE_FRAMES: Final = 4

_SILENCE_DBFS: Final = -90.0
_LOWEST_FLOOR_DBFS: Final = -65.0
_LOWEST_VOICE_DBFS: Final = -45.0
_ABOVE_FLOOR_DB: Final = 10.0
# The floor follows noise that stays: at once down, slowly up, slower still under a voice.
_RISE_DB: Final = 0.06
_RISE_UNDER_VOICE_DB: Final = 0.01


def level_dbfs(pcm: bytes) -> float:
    """Loudness of PCM16; 0 is a full-scale square wave, digital silence is -90."""
    samples = np.frombuffer(pcm, np.int16, len(pcm) // 2).astype(np.float32)
    if not len(samples):
        return _SILENCE_DBFS
    power = float(np.dot(samples, samples)) / len(samples) / 32_768.0**2
    return max(_SILENCE_DBFS, 10 * float(np.log10(power))) if power > 0 else _SILENCE_DBFS


class VoiceLevel:
    """Follows one speaker, frame by frame."""

    def __init__(self) -> None:
        self.is_speaking = False
        # Whether the last frame alone stands out, be it a voice or a knock.
        self.is_loud = False
        self._floor_dbfs = _LOWEST_FLOOR_DBFS + 5
        # Consecutive frames that speak against the present state.
        self._contrary = 0

    def push(self, level: float) -> bool | None:
        """The level of the next frame; True: a voice began `ONSET_FRAMES` ago, False: it ended
        `RELEASE_FRAMES` ago, None: no change.
        """
        self.is_loud = level > max(self._floor_dbfs + _ABOVE_FLOOR_DB, _LOWEST_VOICE_DBFS)
        self._follow_floor(level)
        self._contrary = self._contrary + 1 if self.is_loud != self.is_speaking else 0
        if self._contrary < (RELEASE_FRAMES if self.is_speaking else ONSET_FRAMES):
            return None
        self.is_speaking = not self.is_speaking
        self._contrary = 0
        return self.is_speaking

    def _follow_floor(self, level: float) -> None:
        rise = _RISE_UNDER_VOICE_DB if self.is_speaking else _RISE_DB
        self._floor_dbfs = max(_LOWEST_FLOOR_DBFS, min(level, self._floor_dbfs + rise))
