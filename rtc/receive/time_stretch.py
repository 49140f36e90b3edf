"""Speech made shorter without a change of pitch, and what counts as quiet. Pure.

WSOLA on one frame (waveform similarity overlap-add; Verhelst and Roelands, 1993): the sound is laid
over itself one period on, where the two resemble each other most, and cross-faded.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

# Periods of voices between 400 and 80 Hz.
_SHORTEST_S: Final = 0.0025
_LONGEST_S: Final = 0.0125
_OVERLAP_S: Final = 0.0075
_QUIET_RMS: Final = 100.0
_LOUDEST_FLOOR: Final = 300.0
_FLOOR_FACTOR: Final = 2.0
_FLOOR_RISE: Final = 1.01
MIN_LIKENESS: Final = 0.6


def shorten(samples: Samples, rate_hz: int, *, is_urgent: bool = False) -> Samples:
    """20 ms or more of sound with 2.5 to 12.5 ms less of it, or as it is when no cut would fit.

    is_urgent: cut also where the sound does not resemble itself.
    """
    overlap, shortest = int(_OVERLAP_S * rate_hz), int(_SHORTEST_S * rate_hz)
    longest = min(int(_LONGEST_S * rate_hz), len(samples) - overlap)
    if longest <= shortest:
        return samples
    sound = samples.astype(np.float32)
    lag, likeness = _best_lag(sound, overlap, shortest, longest)
    if likeness < MIN_LIKENESS and not is_urgent:
        return samples
    fade = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
    joined = sound[:overlap] * (1 - fade) + sound[lag : lag + overlap] * fade
    return np.concatenate([joined.astype(np.int16), samples[lag + overlap :]])


def _best_lag(
    sound: NDArray[np.float32], overlap: int, shortest: int, longest: int
) -> tuple[int, float]:
    """The lag at which the sound is most like its beginning, and how much (-1 to 1)."""
    head = sound[:overlap]
    products: NDArray[Any] = np.correlate(sound[shortest : longest + overlap], head)
    energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    lags = np.arange(shortest, longest + 1)
    norms = np.sqrt((energy[lags + overlap] - energy[lags]) * energy[overlap]) + 1.0
    likeness = products / norms
    best = int(likeness.argmax())
    return shortest + best, float(likeness[best])


class QuietDetector:
    """Detector of frames that can be dropped unheard: silence, or no louder than the recent background."""

    def __init__(self) -> None:
        # Of the last frame, as the root of the mean square; full scale is 32768.
        self.level = 0.0
        self._floor = _LOUDEST_FLOOR

    def is_quiet(self, samples: Samples) -> bool:
        """Return true if this frame, the next of a stream, could be left out unheard."""
        sound = samples.astype(np.float32)
        self.level = level = math.sqrt(float(sound.dot(sound)) / (len(sound) or 1))
        self._floor = min(level, max(self._floor, _QUIET_RMS / 2) * _FLOOR_RISE, _LOUDEST_FLOOR)
        return level <= max(_QUIET_RMS, _FLOOR_FACTOR * self._floor)
