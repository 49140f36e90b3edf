"""Mixes the audio of several speakers into one model input, sample by sample. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

# Longest wait for a slower speaker, some 60 ms of added delay.
MAX_AHEAD_FRAMES: Final = 3
FRAMES_PER_S: Final = 50.0
# A speaker may bring what a stalled network held back, but no more than real time in the long run.
MAX_BURST_FRAMES: Final = 50.0
# Sample clocks of senders differ; 2 % is more than any sound card is off.
_CLOCK_TOLERANCE: Final = 1.02
ABSENT_AFTER_S: Final = 0.1
"""Who sent nothing for so long is not waited for until the next frame."""

# Level from which sums are compressed, about -2.7 dBFS: one voice alone rarely reaches it.
_KNEE: Final = 24_000.0
_FULL_SCALE: Final = 32_767.0


def limit(total: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Convert sums to samples: unchanged up to the knee, compressed smoothly above it, never
    clipped.

    Hard clipping adds harmonics that speech recognition takes for consonants.
    """
    room = _FULL_SCALE - _KNEE
    size = np.abs(total)
    bent = _KNEE + room * np.tanh((size - _KNEE) / room)
    limited = np.where(size <= _KNEE, total, np.copysign(bent, total))
    return np.rint(limited).astype(np.int16)


@dataclass
class _Speaker:
    last_s: float
    # Frames that may still come at once; refilled in real time.
    credit: float = MAX_BURST_FRAMES
    frames: deque[bytes] = field(default_factory=deque)
    # The last frame was made up: there is no next one to wait for.
    is_idle: bool = False


class Mixer:
    """Adds up 20 ms frames of all speakers. A single speaker passes through unchanged and without
    delay.

    With several, a mixed frame is due once each present speaker has sent one, or once a speaker is
    `MAX_AHEAD_FRAMES` ahead. The silence, absence or flood of one speaker neither delays nor
    distorts the others.
    """

    def __init__(self) -> None:
        self._speakers: dict[int, _Speaker] = {}
        self.dropped_frames = 0

    def add(self, uid: int, now_s: float) -> None:
        """Add a speaker; idempotent. Times are monotonic seconds."""
        self._speakers.setdefault(uid, _Speaker(now_s))

    def remove(self, uid: int) -> None:
        """Remove a speaker and drop its waiting frames."""
        self._speakers.pop(uid, None)

    def push(self, uid: int, pcm: bytes, now_s: float) -> list[bytes]:
        """Add one frame of one speaker; return the mixed frames that are due now, oldest first.

        A speaker's frames in excess of real time are dropped and counted.
        """
        self.add(uid, now_s)
        if not self._admit(self._speakers[uid], now_s):
            self.dropped_frames += 1
            return []
        frame = pcm[: len(pcm) // 2 * 2]
        self._speakers[uid].frames.append(frame)
        self._speakers[uid].is_idle = False
        due = []
        while self._is_frame_due(now_s):
            due.append(self._mix())
        return due

    def fill(self, uid: int, pcm: bytes, now_s: float) -> list[bytes]:
        """Add a frame of silence for a speaker that sends no packets.

        It keeps the mix going while no other speaker sends, and is never waited for.
        """
        if any(
            now_s - speaker.last_s < ABSENT_AFTER_S or speaker.frames
            for each, speaker in self._speakers.items()
            if each != uid
        ):
            return []
        due = self.push(uid, pcm, now_s)
        self._speakers[uid].is_idle = True
        return due

    def _admit(self, speaker: _Speaker, now_s: float) -> bool:
        earned = max(0.0, now_s - speaker.last_s) * FRAMES_PER_S * _CLOCK_TOLERANCE
        speaker.credit = min(MAX_BURST_FRAMES, speaker.credit + earned)
        speaker.last_s = now_s
        if speaker.credit < 1:
            return False
        speaker.credit -= 1
        return True

    def _is_frame_due(self, now_s: float) -> bool:
        present = [
            len(speaker.frames)
            for speaker in self._speakers.values()
            if speaker.frames or (not speaker.is_idle and now_s - speaker.last_s < ABSENT_AFTER_S)
        ]
        return (
            bool(present)
            and max(present) > 0
            and (min(present) > 0 or max(present) > MAX_AHEAD_FRAMES)
        )

    def _mix(self) -> bytes:
        frames = [each.frames.popleft() for each in self._speakers.values() if each.frames]
        if len(frames) == 1:
            return frames[0]
        total = np.zeros(max(len(frame) for frame in frames) // 2, np.float32)
        for frame in frames:
            samples = np.frombuffer(frame, np.int16)
            total[: len(samples)] += samples
        return limit(total).tobytes()
