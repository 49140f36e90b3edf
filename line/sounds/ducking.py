"""`Ducker`: the gain of a sound that makes way for a voice. Pure: one step is one frame of 20 ms."""

from __future__ import annotations

from typing import Final

from line.timing import PTIME_MS

ATTACK_MS: Final = 120
"""From full level to ducked, once the voice begins."""
RELEASE_MS: Final = 800
"""From ducked to full level, after `HOLD_MS` without the voice."""
HOLD_MS: Final = 400
"""Pauses between words and sentences are not heard in the background."""


class Ducker:
    """Linear in dB, so that neither way is heard as a step."""

    def __init__(self, duck_db: float) -> None:
        """duck_db: level while the voice sounds, at most 0"""
        self._duck_db = duck_db
        self.level_db = 0.0
        self._silent_ms = float(HOLD_MS)

    def step(self, *, has_voice: bool) -> float:
        """Return the level (dB) at the end of this frame."""
        self._silent_ms = 0.0 if has_voice else self._silent_ms + PTIME_MS
        if self._silent_ms < HOLD_MS:
            self.level_db = max(self._duck_db, self.level_db + self._duck_db * PTIME_MS / ATTACK_MS)
        else:
            self.level_db = min(0.0, self.level_db - self._duck_db * PTIME_MS / RELEASE_MS)
        return self.level_db
