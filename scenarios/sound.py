"""Sound of a call: what is loud, when a voice began and ended, noise, and a recording. Pure but `write_call`."""

from __future__ import annotations

import wave
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 24_000
FRAME_S: Final = 0.02
LOUD: Final = 800
"""Peak of a frame (of 32 768) from which on it is sound: a voice is, a codec's silence is not."""

SPEECH_RMS: Final = 2_600.0
"""Level of a voice, to which a noise without a voice of its own is related (-22 dBFS)."""

_EDGE_SAMPLES: Final = SAMPLE_RATE_HZ // 200
_MAX_CALL_S: Final = 3_600.0


def length_s(pcm: bytes) -> float:
    """Return how long PCM16 at 24 kHz sounds."""
    return len(pcm) / 2 / SAMPLE_RATE_HZ


def is_loud(pcm: bytes) -> bool:
    """Return true if a frame is sound."""
    samples = np.frombuffer(pcm, np.int16)
    return len(samples) > 0 and int(np.abs(samples.astype(np.int32)).max()) >= LOUD


def voice_span_s(pcm: bytes) -> tuple[float, float]:
    """Return from when to when it is loud; (0, length) if it never is."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)) >= LOUD)
    if not len(loud):
        return 0.0, length_s(pcm)
    return float(loud[0]) / SAMPLE_RATE_HZ, float(loud[-1] + 1) / SAMPLE_RATE_HZ


def rms(pcm: bytes) -> float:
    """Return the level of what is loud in it."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    loud = samples[np.abs(samples) >= LOUD / 4]
    return float(np.sqrt((loud**2).mean())) if len(loud) else 0.0


def make_noise(
    duration_s: float, level_rms: float, kind: Literal["pink", "white"] = "pink", seed: int = 1
) -> bytes:
    """Return noise of this level; the same for the same seed."""
    count = max(2, int(duration_s * SAMPLE_RATE_HZ))
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 1, count))
    if kind == "pink":
        spectrum /= np.sqrt(np.maximum(1.0, np.arange(len(spectrum))))
    samples = np.fft.irfft(spectrum, count)
    samples *= level_rms / max(1e-9, float(np.sqrt((samples**2).mean())))
    return _as_pcm(samples)


def mix(pcm: bytes, other: bytes) -> bytes:
    """Return the sum of both, as long as the first."""
    total = np.frombuffer(pcm, np.int16).astype(np.float64)
    added = np.frombuffer(other, np.int16)[: len(total)]
    total[: len(added)] += added
    return _as_pcm(total)


def at_snr(pcm: bytes, snr_db: float, kind: Literal["pink", "white"] = "pink") -> bytes:
    """Return `pcm` in noise that is so much below its voice."""
    level = (rms(pcm) or SPEECH_RMS) / 10 ** (snr_db / 20)
    return mix(pcm, make_noise(length_s(pcm), level, kind))


def _as_pcm(samples: NDArray[np.float64]) -> bytes:
    return np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16).tobytes()


class HeardSound:
    """Frames of 20 ms as they became audible, and when. All times are loop times, in seconds."""

    def __init__(self, *, keeps_pcm: bool = True) -> None:
        self._keeps_pcm = keeps_pcm
        self._times: list[float] = []
        self._pcm: list[bytes] = []
        self._loud: list[float] = []

    def add(self, pcm: bytes, at_s: float) -> None:
        """Add the next frame."""
        if is_loud(pcm):
            self._loud.append(at_s)
        if self._keeps_pcm and (not self._times or at_s - self._times[0] < _MAX_CALL_S):
            self._times.append(at_s)
            self._pcm.append(pcm)

    @property
    def frames(self) -> Sequence[tuple[float, bytes]]:
        """All frames that are kept."""
        return list(zip(self._times, self._pcm, strict=True))

    @property
    def last_loud_s(self) -> float | None:
        """The time at which the last loud frame ended; None: there was none."""
        return self._loud[-1] + FRAME_S if self._loud else None

    def first_loud_s(self, since_s: float) -> float | None:
        """Return when the first loud frame from then on began."""
        at = bisect_left(self._loud, since_s)
        return self._loud[at] if at < len(self._loud) else None

    def last_loud_before_s(self, before_s: float) -> float | None:
        """Return when the last loud frame before then ended."""
        at = bisect_left(self._loud, before_s)
        return self._loud[at - 1] + FRAME_S if at else None

    def loud_ms(self, from_s: float, to_s: float = float("inf")) -> float:
        """Return how much of this time is loud."""
        count = bisect_left(self._loud, to_s) - bisect_left(self._loud, from_s)
        return count * FRAME_S * 1000

    def was_loud(self, at_s: float, within_s: float = 0.2) -> bool:
        """Return true if a frame of the time before is loud."""
        at = bisect_right(self._loud, at_s)
        return at > 0 and at_s - self._loud[at - 1] <= within_s

    def silent_from_s(self, since_s: float, for_s: float, now_s: float) -> float | None:
        """Return from when on it was silent for so long; None: it has not been so far."""
        last_s = since_s
        for loud_s in self._loud[bisect_left(self._loud, since_s) :]:
            if loud_s - last_s >= for_s:
                return last_s
            last_s = loud_s + FRAME_S
        return last_s if now_s - last_s >= for_s else None

    def pcm(self, from_s: float, to_s: float) -> bytes:
        """Return what was heard in this time."""
        first, last = bisect_left(self._times, from_s), bisect_left(self._times, to_s)
        return b"".join(self._pcm[first:last])


def write_call(
    path: Path,
    people: Sequence[tuple[float, bytes]],
    agent: Sequence[tuple[float, bytes]],
    origin_s: float,
) -> None:
    """Write a WAV with the people on the left and the agent on the right, each piece at its time.

    Raises:
        OSError: it cannot be written.
    """
    ends = [at_s - origin_s + length_s(pcm) for at_s, pcm in (*people, *agent)]
    count = int(min(max(ends, default=0.0) + 0.1, _MAX_CALL_S) * SAMPLE_RATE_HZ)
    both = np.zeros((count, 2), np.int32)
    for side, pieces in enumerate((people, agent)):
        place = 0
        for at_s, pcm in pieces:
            samples = np.frombuffer(pcm, np.int16)
            wanted = max(0, int((at_s - origin_s) * SAMPLE_RATE_HZ))
            # Frames follow each other without a seam; their times tremble a little.
            is_next = side == 1 and abs(wanted - place) < 2 * SAMPLE_RATE_HZ * FRAME_S
            start = place if is_next else wanted
            piece = both[start : start + len(samples), side]
            piece += samples[: len(piece)]
            place = start + len(samples)
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes(np.clip(both, -32_768, 32_767).astype(np.int16).tobytes())
