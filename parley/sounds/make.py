"""Make the WAV files of this folder: `python -m parley.sounds.make`.

Everything is computed from noise and sines with a fixed seed: nothing was recorded, and there is no licence to
keep. Backgrounds are made in the frequency domain, so that their end meets their beginning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from audio import write_wav

RATE_HZ: Final = 24_000
FOLDER: Final = Path(__file__).parent

Wave = npt.NDArray[np.float64]


def noise(
    random: np.random.Generator, duration_s: float, low_hz: float, high_hz: float, slope: float
) -> Wave:
    """Return a periodic noise of RMS 1 between two frequencies; slope: its amplitude falls as f**-slope."""
    count = int(duration_s * RATE_HZ)
    frequency = np.fft.rfftfreq(count, 1 / RATE_HZ)
    size = np.where((frequency >= low_hz) & (frequency <= high_hz), 1.0, 0.0)
    size[1:] *= frequency[1:] ** -slope
    phase = random.uniform(0, 2 * np.pi, len(frequency))
    wave = np.fft.irfft(size * np.exp(1j * phase), count)
    return np.asarray(wave / np.sqrt(np.mean(wave**2)))


def room(random: np.random.Generator) -> Wave:
    """The air of a quiet room."""
    return 0.02 * noise(random, 4, 60, 4_000, 0.8)


def office(random: np.random.Generator) -> Wave:
    """Air, and a murmur far away: noise in the band of voices that swells like syllables."""
    duration_s, wave = 6, 0.015 * noise(random, 6, 60, 5_000, 0.8)
    for low_hz in (180, 320, 500):
        voice = noise(random, duration_s, low_hz, low_hz * 5, 0.7)
        swell = noise(random, duration_s, 0.5, 4, 0.3)
        wave += 0.02 * voice * np.clip(swell, 0, 2)
    return wave


def typing(random: np.random.Generator) -> Wave:
    """Keys of a keyboard, in small bursts."""
    wave = np.zeros(3 * RATE_HZ)
    at_s = 0.05
    while at_s < 2.8:
        key = _key(random)
        start = int(at_s * RATE_HZ)
        wave[start : start + len(key)] += key[: len(wave) - start]
        is_pause = random.random() < 0.15
        at_s += random.uniform(0.3, 0.5) if is_pause else random.uniform(0.09, 0.19)
    return wave


def _key(random: np.random.Generator) -> Wave:
    """One stroke: a click, then a duller thud of the key."""
    count = int(0.06 * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    click = random.standard_normal(count) * np.exp(-time / 0.002)
    thud = np.sin(2 * np.pi * random.uniform(180, 320) * time) * np.exp(-time / 0.012)
    return np.asarray(random.uniform(0.6, 1.0) * (0.12 * click + 0.18 * thud))


def waiting(_random: np.random.Generator) -> Wave:
    """Two soft notes, then silence."""
    wave = np.zeros(2 * RATE_HZ)
    for at_s, pitch_hz in ((0.0, 523.25), (0.25, 659.25)):
        note = _note(pitch_hz, 0.9, 0.22)
        start = int(at_s * RATE_HZ)
        wave[start : start + len(note)] += 0.15 * note
    return wave


def chime(_random: np.random.Generator) -> Wave:
    """Two bright notes, to call attention."""
    wave = np.zeros(int(0.8 * RATE_HZ))
    for at_s, pitch_hz in ((0.0, 783.99), (0.14, 1046.5)):
        note = _note(pitch_hz, 0.6, 0.16)
        start = int(at_s * RATE_HZ)
        wave[start : start + len(note)] += 0.25 * note
    return wave


def _note(pitch_hz: float, duration_s: float, decay_s: float) -> Wave:
    time = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    tone = np.sin(2 * np.pi * pitch_hz * time) + 0.3 * np.sin(4 * np.pi * pitch_hz * time)
    envelope = np.minimum(time / 0.008, 1) * np.exp(-time / decay_s)
    end = np.minimum((duration_s - time) / 0.02, 1)
    return np.asarray(tone * envelope * end)


def main() -> None:
    """Write all of them."""
    for number, make in enumerate((room, office, typing, waiting, chime)):
        wave = np.clip(make(np.random.default_rng(number)), -1, 1)
        pcm = np.rint(wave * 32767).astype("<i2").tobytes()
        write_wav(FOLDER / f"{make.__name__}.wav", pcm, RATE_HZ)


if __name__ == "__main__":
    main()
