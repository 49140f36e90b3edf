"""Levels, pauses and overlaps of a stereo recording, as its sound is read. Pure.

Memory is bounded whatever the length: the levels have at most `MAX_WINDOWS` windows, and voices,
pauses and overlaps past their limits are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from conversation.turn_taking.voice_level import (
    FRAME_MS,
    ONSET_FRAMES,
    RELEASE_FRAMES,
    VoiceLevel,
)

MAX_WINDOWS: Final = 4_000
"""Of levels: up to 80 s each frame has one, an hour has windows of 0.9 s."""

PAUSE_MS: Final = 2_000
"""A silence of both sides that is longer is a pause."""

OVERLAP_MS: Final = 200
"""Both voices at once for less are the end of one and the beginning of the other."""

MAX_FOUND: Final = 1_000
"""Of pauses and of overlaps."""

_BRIDGED_MS: Final = 300
"""A gap between words, not between stretches of speech."""

_MAX_SPANS: Final = 50_000
_FULL_SCALE: Final = 32_768.0
_SILENCE_POWER: Final = 1e-9
_PEAK_SHIFT: Final = 7
"""From 15 bits to 8."""

Span = tuple[int, int]
"""Begin and end in ms."""


@dataclass(frozen=True)
class Levels:
    """Levels of a recording.

    began_ms: Unix time of the first sample
    user, agent: peaks, a byte each
    pauses, overlaps: in ms of the recording
    """

    began_ms: int
    duration_ms: int
    window_ms: int
    user: bytes
    agent: bytes
    pauses: tuple[Span, ...]
    overlaps: tuple[Span, ...]


class LevelMeter:
    """Takes the samples of a recording in blocks."""

    def __init__(self, sample_rate_hz: int, samples: int) -> None:
        """samples: length of each side"""
        self.frame_samples = max(1, sample_rate_hz * FRAME_MS // 1000)
        self._duration_ms = samples * 1000 // sample_rate_hz
        frames = -(-samples // self.frame_samples)
        self._frames_per_window = max(1, -(-frames // MAX_WINDOWS))
        windows = -(-frames // self._frames_per_window)
        self._peaks = np.zeros((windows, 2), np.uint8)
        self._voices = (_Voice(), _Voice())
        self._frames = 0

    def add(self, stereo: npt.NDArray[np.int16]) -> None:
        """Add the next samples, shape (n, 2): whole frames, except for the last block."""
        short = -len(stereo) % self.frame_samples
        first = self._frames
        self._frames += (len(stereo) + short) // self.frame_samples
        places = np.arange(first, self._frames) // self._frames_per_window
        for side, voice in enumerate(self._voices):
            frames = np.pad(stereo[:, side], (0, short)).reshape(-1, self.frame_samples)
            # Widened: the lowest sample has no positive counterpart in 16 bits.
            highest = frames.max(axis=1).astype(np.int32)
            loud = np.maximum(highest, -frames.min(axis=1).astype(np.int32))
            peaks = np.minimum(loud >> _PEAK_SHIFT, 255).astype(np.uint8)
            np.maximum.at(self._peaks[:, side], places, peaks)
            wide = frames.astype(np.float32)
            power = np.einsum("fs,fs->f", wide, wide) / (self.frame_samples * _FULL_SCALE**2)
            voice.add(10 * np.log10(np.maximum(power, _SILENCE_POWER)))

    def levels(self, began_ms: int) -> Levels:
        """Return the levels of all blocks so far."""
        user, agent = (voice.spans() for voice in self._voices)
        return Levels(
            began_ms=began_ms,
            duration_ms=self._duration_ms,
            window_ms=self._frames_per_window * FRAME_MS,
            user=self._peaks[:, 0].tobytes(),
            agent=self._peaks[:, 1].tobytes(),
            pauses=tuple(islice(pauses(user, agent), MAX_FOUND)),
            overlaps=tuple(islice(overlaps(user, agent), MAX_FOUND)),
        )


class _Voice:
    """Stretches of speech of one side."""

    def __init__(self) -> None:
        self._detector = VoiceLevel()
        self._spans: list[Span] = []
        self._began_ms = 0
        self._frames = 0

    def add(self, dbfs: npt.NDArray[np.float32]) -> None:
        for level in dbfs.tolist():
            self._frames += 1
            if (change := self._detector.push(level)) is None:
                continue
            back = ONSET_FRAMES if change else RELEASE_FRAMES
            at_ms = (self._frames - back) * FRAME_MS
            if change:
                self._began_ms = at_ms
            else:
                self._append(self._spans, (self._began_ms, at_ms))

    def spans(self) -> list[Span]:
        found = list(self._spans)
        if self._detector.is_speaking:
            self._append(found, (self._began_ms, self._frames * FRAME_MS))
        return found

    @staticmethod
    def _append(spans: list[Span], span: Span) -> None:
        if spans and span[0] - spans[-1][1] < _BRIDGED_MS:
            spans[-1] = (spans[-1][0], span[1])
        elif len(spans) < _MAX_SPANS:
            spans.append(span)


def pauses(one: list[Span], other: list[Span]) -> Iterator[Span]:
    """Yield the silences of both longer than `PAUSE_MS`, between their first and last speech."""
    end_ms: int | None = None
    for begin, end in sorted(one + other):
        if end_ms is not None and begin - end_ms > PAUSE_MS:
            yield end_ms, begin
        end_ms = end if end_ms is None else max(end_ms, end)


def overlaps(one: list[Span], other: list[Span]) -> Iterator[Span]:
    """Yield where both speak, for `OVERLAP_MS` or longer."""
    mine = theirs = 0
    while mine < len(one) and theirs < len(other):
        begin = max(one[mine][0], other[theirs][0])
        end = min(one[mine][1], other[theirs][1])
        if end - begin >= OVERLAP_MS:
            yield begin, end
        if one[mine][1] <= other[theirs][1]:
            mine += 1
        else:
            theirs += 1
