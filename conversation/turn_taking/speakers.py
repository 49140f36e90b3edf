"""Voice activity and loudness of every speaker over the last seconds. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from conversation.turn_taking.voice_level import (
    FRAME_MS,
    ONSET_FRAMES,
    RELEASE_FRAMES,
    VoiceLevel,
    level_dbfs,
)

# A turn may be attributed to its speaker so long after it began.
REMEMBERED_S: Final = 30.0
_FRAME_S: Final = FRAME_MS / 1000
_MAX_FRAMES: Final = int(REMEMBERED_S / _FRAME_S)


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """Begin or end of a voice at `at_s`, which is a few frames before it is detected."""

    uid: int
    is_speaking: bool
    at_s: float


@dataclass
class _Speaker:
    voice: VoiceLevel = field(default_factory=VoiceLevel)
    # When each frame that stood out came, and its amplitude.
    loud: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_MAX_FRAMES))


class Speakers:
    """Measures the frames of all speakers. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._speakers: dict[int, _Speaker] = {}

    @property
    def is_any_speaking(self) -> bool:
        """True while any speaker has a voice."""
        return any(speaker.voice.is_speaking for speaker in self._speakers.values())

    def is_speaking(self, uid: int) -> bool:
        """Return true while this speaker has a voice."""
        speaker = self._speakers.get(uid)
        return speaker is not None and speaker.voice.is_speaking

    def add(self, uid: int) -> None:
        """Add a speaker; idempotent."""
        self._speakers.setdefault(uid, _Speaker())

    def remove(self, uid: int, now_s: float) -> VoiceChange | None:
        """Remove a speaker; return the end of its voice if it was speaking."""
        speaker = self._speakers.pop(uid, None)
        is_cut_off = speaker is not None and speaker.voice.is_speaking
        return VoiceChange(uid, is_speaking=False, at_s=now_s) if is_cut_off else None

    def push(self, uid: int, pcm: bytes, now_s: float) -> VoiceChange | None:
        """Measure one frame of one speaker; return a change of its voice, if any."""
        self.add(uid)
        speaker = self._speakers[uid]
        level = level_dbfs(pcm)
        change = speaker.voice.push(level)
        if speaker.voice.is_loud:
            speaker.loud.append((now_s, 10 ** (level / 20)))
        if change is None:
            return None
        back = ONSET_FRAMES if change else RELEASE_FRAMES
        return VoiceChange(uid, change, now_s - back * _FRAME_S)

    def loudest(self, since_s: float, until_s: float) -> int | None:
        """Return the loudest speaker between two times; the only one, if it is alone."""
        if len(self._speakers) == 1:
            return next(iter(self._speakers))
        sums = {
            uid: sum(amplitude for at_s, amplitude in speaker.loud if since_s <= at_s <= until_s)
            for uid, speaker in self._speakers.items()
        }
        uid = max(sums, key=lambda each: sums[each], default=None)
        return uid if uid is not None and sums[uid] > 0 else None
