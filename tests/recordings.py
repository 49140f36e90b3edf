"""Reads recordings of calls, and gives disks that are soon full."""

from __future__ import annotations

import resource
import subprocess
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

LOUD = 1_000
_STEP_MS = 5
_UNMOUNT_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Side:
    """One side of a recording."""

    samples: npt.NDArray[np.int16]
    sample_rate_hz: int

    @property
    def loud_ms(self) -> list[float]:
        """Where it is loud: the beginnings of loud steps of 5 ms. The last may be a part of a step,
        so that what a growing recording had already is the same when more of it is there.
        """
        size = self.sample_rate_hz * _STEP_MS // 1000
        steps = np.pad(self.samples, (0, -len(self.samples) % size)).reshape(-1, size)
        loud = np.abs(steps.astype(np.int32)).max(axis=1, initial=0) > LOUD
        return [float(step) * _STEP_MS for step in np.flatnonzero(loud)]

    @property
    def total_ms(self) -> float:
        """How much of it is loud."""
        return len(self.loud_ms) * float(_STEP_MS)

    @property
    def spurts_ms(self) -> list[tuple[float, float]]:
        """Begin and end of each stretch of loud sound, pauses under 100 ms bridged."""
        found: list[tuple[float, float]] = []
        for at_ms in self.loud_ms:
            if found and at_ms - found[-1][1] < 100:
                found[-1] = (found[-1][0], at_ms + _STEP_MS)
            else:
                found.append((at_ms, at_ms + _STEP_MS))
        return found

    def pitch_hz(self, begin_ms: float, end_ms: float) -> float:
        """The strongest frequency between two times."""
        per_ms = self.sample_rate_hz // 1000
        part = self.samples[int(begin_ms) * per_ms : int(end_ms) * per_ms].astype(float)
        spectrum = np.abs(np.fft.rfft(part))
        return float(np.fft.rfftfreq(len(part), 1 / self.sample_rate_hz)[int(spectrum.argmax())])


@dataclass(frozen=True)
class Recording:
    """A whole recording as any other program reads it."""

    left: Side
    right: Side

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Fails unless it is a valid stereo WAV of exactly the length it says."""
        with wave.open(str(path), "rb") as wav:
            assert (wav.getnchannels(), wav.getsampwidth()) == (2, 2)
            rate_hz, count = wav.getframerate(), wav.getnframes()
            data = wav.readframes(count)
        assert len(data) == count * 4
        samples = np.frombuffer(data, np.int16).reshape(-1, 2)
        return cls(Side(samples[:, 0], rate_hz), Side(samples[:, 1], rate_hz))

    @property
    def duration_ms(self) -> float:
        """Of both sides."""
        return len(self.left.samples) * 1000 / self.left.sample_rate_hz


def _unmount(directory: Path) -> None:
    """Unmount, as soon as the last process that was killed has closed its files."""
    deadline_s = time.monotonic() + _UNMOUNT_DEADLINE_S
    while subprocess.run(["umount", str(directory)], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline_s, f"{directory} is still in use"
        time.sleep(0.05)


@contextmanager
def tiny_disk(directory: Path, size_bytes: int) -> Iterator[None]:
    """Nothing larger fits into `directory`: a small tmpfs, or a limit on this process' files."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        try:
            yield
        finally:
            _unmount(directory)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Children inherit it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
