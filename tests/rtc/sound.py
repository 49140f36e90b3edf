"""Tones to send, and what can be measured on sound that arrived."""

from __future__ import annotations

import numpy as np


def tone(frequency_hz: float, length_s: float, rate_hz: int, amplitude: int = 12_000) -> bytes:
    """A sine as PCM16."""
    phase = np.arange(int(length_s * rate_hz)) * 2 * np.pi * frequency_hz / rate_hz
    return (np.sin(phase) * amplitude).astype(np.int16).tobytes()


def loudness(pcm: bytes) -> float:
    """Root mean square of PCM16, 0 to 32767."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    return float(np.sqrt((samples**2).mean())) if len(samples) else 0.0


def has_tone(pcm: bytes, wanted_hz: float, rate_hz: int) -> bool:
    """Whether a tone stands out of everything else in PCM16, wherever in it and with whatever else."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples))
    hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    near = float(spectrum[np.abs(hz - wanted_hz) < 10].max(initial=0.0))
    return near > max(20 * float(np.median(spectrum)), float(spectrum.max(initial=1.0)) / 10)


def frequency_hz(pcm: bytes, rate_hz: int) -> float:
    """The strongest frequency in PCM16."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate_hz / len(samples))
