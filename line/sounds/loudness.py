"""`Normaliser`: the agent's voice at one loudness. Pure.

The loudness is the mean power of the blocks that count by the gates of ITU-R BS.1770-5, annex 1 (blocks of
400 ms, one each 100 ms; absolute gate, then one 10 dB below the mean), without its frequency weighting,
which corrects music more than speech. The gain follows slowly and only while there is a voice, so that it
neither pumps nor lifts pauses. A limiter with gain reduction ahead of each peak keeps every sample below
`CEILING_DBFS`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from line.sounds.clip import amplitude

TARGET_DBFS: Final = -20.0
CEILING_DBFS: Final = -1.0
MAX_GAIN_DB: Final = 12.0
"""Up and down."""
SLOPE_DB_PER_S: Final = 3.0
"""Of voice, from no gain on."""
ABSOLUTE_GATE_DBFS: Final = -50.0
RELATIVE_GATE_DB: Final = -10.0
MEMORY_BLOCKS: Final = 300
"""The last 30 s of voice."""

_HOP_MS: Final = 100
_HOPS_PER_BLOCK: Final = 4
_LIMIT_MS: Final = 5
_RECOVERY_DB_PER_S: Final = 40.0

_Floats = npt.NDArray[np.floating[Any]]


class LoudnessMeter:
    """Gated loudness of a voice."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._hop = sample_rate_hz * _HOP_MS // 1000
        # Sum of squares of the hop that is not complete, and its samples.
        self._sum, self._count = 0.0, 0
        self._hops: deque[float] = deque(maxlen=_HOPS_PER_BLOCK)
        self._blocks: deque[float] = deque(maxlen=MEMORY_BLOCKS)

    def push(self, samples: _Floats) -> int:
        """Measure samples of -1 to 1; return how many hops of 100 ms with a voice were completed."""
        voiced = 0
        while len(samples):
            piece = samples[: self._hop - self._count]
            samples = samples[len(piece) :]
            self._sum += float(np.dot(piece, piece))
            self._count += len(piece)
            if self._count == self._hop:
                voiced += self._end_hop()
        return voiced

    def _end_hop(self) -> bool:
        self._hops.append(self._sum / self._hop)
        self._sum, self._count = 0.0, 0
        power = sum(self._hops) / _HOPS_PER_BLOCK
        is_voice = len(self._hops) == _HOPS_PER_BLOCK and _db(power) > ABSOLUTE_GATE_DBFS
        if is_voice:
            self._blocks.append(power)
        return is_voice

    @property
    def loudness_dbfs(self) -> float | None:
        """Mean of the blocks that count; None before the first."""
        if not self._blocks:
            return None
        blocks = np.array(self._blocks)
        gate_db = _db(float(blocks.mean())) + RELATIVE_GATE_DB
        return _db(float(blocks[10 * np.log10(blocks) > gate_db].mean()))


class Normaliser:
    """One voice, piece by piece of any length; each piece comes back with as many samples."""

    def __init__(self, sample_rate_hz: int, target_dbfs: float = TARGET_DBFS) -> None:
        self._meter = LoudnessMeter(sample_rate_hz)
        self._target_dbfs = target_dbfs
        self._step = sample_rate_hz * _LIMIT_MS // 1000
        self._ceiling = amplitude(CEILING_DBFS)
        # From no gain on: what is heard before the first estimate has none.
        self.gain_db = 0.0
        # Gain in effect at the end of the last piece.
        self._gain = 1.0

    def push(self, pcm: bytes) -> bytes:
        """Return PCM16 at the wanted loudness."""
        if len(pcm) < 2:
            return pcm
        samples = np.frombuffer(pcm, np.int16) * np.float32(1 / 32768)
        self._follow(self._meter.push(samples))
        shaped = samples * self._curve(samples)
        limited = np.clip(shaped, -self._ceiling, self._ceiling)
        return np.rint(limited * 32767).astype(np.int16).tobytes()

    def _follow(self, voiced_hops: int) -> None:
        """Move the gain towards the target, as far as this much voice allows."""
        if not voiced_hops or (loudness := self._meter.loudness_dbfs) is None:
            return
        wanted = min(MAX_GAIN_DB, max(-MAX_GAIN_DB, self._target_dbfs - loudness))
        most = SLOPE_DB_PER_S * voiced_hops * _HOP_MS / 1000
        self.gain_db += min(most, max(-most, wanted - self.gain_db))

    def _curve(self, samples: _Floats) -> _Floats:
        """Return the gain of each sample: straight lines between points 5 ms apart, each of which
        keeps the peaks on both of its sides below the ceiling.
        """
        starts = np.arange(0, len(samples), self._step)
        peaks = np.maximum.reduceat(np.abs(samples), starts)
        allowed = np.minimum(amplitude(self.gain_db), self._ceiling / np.maximum(peaks, 1e-6))
        points = np.empty(len(starts) + 1)
        points[0] = min(self._gain, allowed[0])
        points[1:-1] = np.minimum(allowed[:-1], allowed[1:])
        # What follows is not known yet; a peak there is met in its own piece.
        points[-1] = allowed[-1]
        # After a peak the gain comes back slowly.
        rise = amplitude(_RECOVERY_DB_PER_S * _LIMIT_MS / 1000)
        for number in range(1, len(points)):
            points[number] = min(points[number], points[number - 1] * rise)
        self._gain = float(points[-1])
        ends = np.append(starts, len(samples))
        return np.interp(np.arange(len(samples)), ends, points).astype(np.float32)


def _db(power: float) -> float:
    return float(10 * np.log10(max(power, 1e-12)))
