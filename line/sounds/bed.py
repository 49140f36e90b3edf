"""`SoundBed`: a background and single sounds under the agent's voice, frame by frame. Pure.

The voice passes unchanged but for what is added to it: positions, and so what was heard, are those of the
voice alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from line.sounds.clip import Clip, amplitude
from line.sounds.ducking import Ducker
from line.timing import PTIME_MS

FADE_MS: Final = 10
"""Begin and cut of a single sound."""
BACKGROUND_FADE_MS: Final = 300
TAIL_FRAMES: Final = 3
"""Silent frames after the last sound: codecs hold back some of it."""

_FADE_FRAMES: Final = BACKGROUND_FADE_MS // PTIME_MS

Mix = npt.NDArray[np.float32]


class _Source:
    """Reads a clip, frame by frame."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._at = 0
        # At the end of the last frame.
        self.gain = 0.0

    @property
    def is_over(self) -> bool:
        return not self.clip.is_loop and self._at >= len(self.clip.samples)

    def take(self, count: int) -> Mix:
        """The next samples; after the end of a single sound, silence."""
        samples = self.clip.samples[self._at : self._at + count]
        self._at += len(samples)
        taken = samples.astype(np.float32)
        while len(taken) < count:
            if not self.clip.is_loop:
                return np.pad(taken, (0, count - len(taken)))
            more = self.clip.samples[: count - len(taken)]
            self._at = len(more)
            taken = np.concatenate([taken, more.astype(np.float32)])
        return taken


class SoundBed:
    """Takes frames of the voice, or of silence, and adds what else is to be heard.

    A single sound never goes on under a voice: it is faded out within the frame that has one.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._fade_samples = sample_rate_hz * FADE_MS // 1000
        self._background: _Source | None = None
        self._is_background_wanted = False
        self._ducker = Ducker(0.0)
        # Frames, up to `_FADE_FRAMES`: begin and end of the background.
        self._faded_in = 0
        self._single: _Source | None = None
        self._is_single_stopped = False
        self._tail_left = 0

    @property
    def is_active(self) -> bool:
        """True if the next frame is to be sent even without a voice."""
        return self._background is not None or self._single is not None or self._tail_left > 0

    @property
    def is_playing(self) -> bool:
        """True while a single sound is heard."""
        return self._single is not None and not self._is_single_stopped

    def set_background(self, clip: Clip | None, *, duck_db: float = 0.0) -> None:
        """Begin a background, or let it fade away (None)."""
        self._is_background_wanted = clip is not None
        background = self._background
        if clip is not None and (background is None or not background.clip.is_same(clip)):
            self._background = _Source(clip)
            self._ducker = Ducker(duck_db)
            self._faded_in = 0

    def play(self, clip: Clip) -> None:
        """Begin a single sound, in place of the last one."""
        self._single = _Source(clip)
        self._is_single_stopped = False

    def stop(self) -> None:
        """Fade the single sound out within the next frame. Idempotent."""
        self._is_single_stopped = True

    def mix(self, pcm: bytes, *, has_voice: bool) -> bytes:
        """Return this frame with all that is to be heard in it."""
        if self._background is None and self._single is None:
            self._tail_left = max(0, self._tail_left - 1)
            return pcm
        self._tail_left = TAIL_FRAMES
        mixed = np.frombuffer(pcm, np.int16).astype(np.float32)
        if self._background is not None:
            mixed += self._take_background(self._background, len(mixed), has_voice=has_voice)
        if self._single is not None:
            mixed += self._take_single(self._single, len(mixed), has_voice=has_voice)
        return np.clip(np.rint(mixed), -32768, 32767).astype(np.int16).tobytes()

    def _take_background(self, source: _Source, count: int, *, has_voice: bool) -> Mix:
        wanted = self._faded_in + (1 if self._is_background_wanted else -1)
        self._faded_in = min(_FADE_FRAMES, max(0, wanted))
        level_db = self._ducker.step(has_voice=has_voice)
        before = source.gain
        source.gain = source.clip.gain * amplitude(level_db) * self._faded_in / _FADE_FRAMES
        taken = source.take(count)
        if before == source.gain:
            taken *= np.float32(source.gain)
        else:
            taken *= np.linspace(before, source.gain, count, dtype=np.float32)
        if not self._is_background_wanted and self._faded_in == 0:
            self._background = None
        return taken

    def _take_single(self, source: _Source, count: int, *, has_voice: bool) -> Mix:
        taken = source.take(count) * np.float32(source.clip.gain)
        fade = min(self._fade_samples, count)
        if source.gain == 0.0:
            taken[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
            if has_voice or self._is_single_stopped:
                # It has not begun, and does not any more.
                taken[:] = 0
        elif has_voice or self._is_single_stopped:
            taken[:fade] *= np.linspace(1, 0, fade, dtype=np.float32)
            taken[fade:] = 0
        source.gain = 1.0
        if has_voice or self._is_single_stopped or source.is_over:
            self._single = None
        return taken
