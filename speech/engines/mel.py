"""Whisper's log-mel features in numpy: 80 bins, 10 ms hop, 25 ms Hann window, 16 kHz."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
WINDOW_SAMPLES = 400
MEL_BINS = 80

Floats = NDArray[np.float32]


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    linear = mel * (200.0 / 3)
    logarithmic = 1000.0 * np.exp((np.log(6.4) / 27.0) * (mel - 15.0))
    return np.asarray(np.where(mel >= 15.0, logarithmic, linear), np.float64)


@cache
def mel_filters() -> Floats:
    """Triangular filters [80, 201], each of unit area."""
    top_mel = 15.0 + np.log(SAMPLE_RATE_HZ / 2 / 1000.0) / (np.log(6.4) / 27.0)
    edges = _mel_to_hz(np.linspace(0.0, top_mel, MEL_BINS + 2))
    bins = np.linspace(0.0, SAMPLE_RATE_HZ / 2, WINDOW_SAMPLES // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    areas = (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(triangles * areas, np.float32)


@cache
def _window() -> Floats:
    # Periodic Hann, as torch.hann_window makes it.
    return np.asarray(np.hanning(WINDOW_SAMPLES + 1)[:-1], np.float32)


def log_mel(samples: Floats) -> Floats:
    """Features [80, frames] of mono samples in -1..1 whose count is a multiple of the hop."""
    padded = np.pad(samples, WINDOW_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][:-1]
    spectrum = np.abs(np.fft.rfft(frames * _window(), axis=1)) ** 2
    mel = mel_filters() @ spectrum.T.astype(np.float32)
    logs = np.log10(np.maximum(mel, 1e-10))
    logs = np.maximum(logs, logs.max() - 8.0)
    return np.asarray((logs + 4.0) / 4.0, np.float32)
