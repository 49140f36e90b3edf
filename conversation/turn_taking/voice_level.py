"""Local voice detection in 20 ms frames, by level above the noise floor. Pure.

It does not recognise speech, but reports a sound at once: enough to pause the agent, never to
decide.
"""

from __future__ import annotations

from typing import Final

import numpy as np

FRAME_MS: Final = 20
# Loud frames until a voice counts: a click is shorter than 60 ms.
ONSET_FRAMES: Final = 3
# Quiet frames until it is over: a stop consonant is shorter than 80 ms.
RELEASE_FRAMES: Final = 4

_SILENCE_DBFS: Final = -90.0
# Below this, noise does not matter: digital silence must not make a whisper loud.
_LOWEST_FLOOR_DBFS: Final = -65.0
_LOWEST_VOICE_DBFS: Final = -45.0
# Distance from noise to voice.
_ABOVE_FLOOR_DB: Final = 10.0
# The floor follows noise that stays: at once down, slowly up, slower still under a voice.
_RISE_DB: Final = 0.06
_RISE_UNDER_VOICE_DB: Final = 0.01


def level_dbfs(pcm: bytes) -> float:
    """Return the level of PCM16; 0 is a full-scale square wave, digital silence is -90."""
    samples = np.frombuffer(pcm, np.int16, len(pcm) // 2).astype(np.float32)
    if not len(samples):
        return _SILENCE_DBFS
    power = float(np.dot(samples, samples)) / len(samples) / 32_768.0**2
    return max(_SILENCE_DBFS, 10 * float(np.log10(power))) if power > 0 else _SILENCE_DBFS


class VoiceLevel:
    """Voice detector of one speaker."""

    def __init__(self) -> None:
        self.is_speaking = False
        # Whether the last frame alone stands out, be it a voice or a knock.
        self.is_loud = False
        self._floor_dbfs = _LOWEST_FLOOR_DBFS + 5
        # Consecutive frames that speak against the present state.
        self._contrary = 0

    def push(self, level: float) -> bool | None:
        """Take the level of the next frame. True: a voice began `ONSET_FRAMES` ago; false: it ended
        `RELEASE_FRAMES` ago; None: no change.
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
