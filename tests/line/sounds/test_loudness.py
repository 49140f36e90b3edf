"""One loudness, on samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from line.sounds.clip import amplitude
from line.sounds.loudness import (
    CEILING_DBFS,
    MAX_GAIN_DB,
    SLOPE_DB_PER_S,
    TARGET_DBFS,
    LoudnessMeter,
    Normaliser,
)

RATE_HZ = 24_000
CEILING = round(32_767 * amplitude(CEILING_DBFS))


def speech(rms_dbfs: float, duration_s: float = 20.0, seed: int = 1) -> bytes:
    """Noise in syllables of 200 ms, with a pause of 600 ms every three seconds."""
    random = np.random.default_rng(seed)
    time = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    wave = random.standard_normal(len(time)) * (0.3 + np.abs(np.sin(np.pi * time / 0.2)))
    wave *= time % 3 < 2.4
    loud = wave[time % 3 < 2.4]
    wave *= amplitude(rms_dbfs) / np.sqrt(np.mean(loud**2))
    return np.rint(np.clip(wave, -1, 1) * 32_767).astype(np.int16).tobytes()


def normalised(pcm: bytes, piece_ms: int = 20) -> npt.NDArray[np.int16]:
    normaliser, size = Normaliser(RATE_HZ), RATE_HZ * piece_ms // 1000 * 2
    pieces = [normaliser.push(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    return np.frombuffer(b"".join(pieces), np.int16)


def loudness(samples: npt.NDArray[np.int16]) -> float:
    meter = LoudnessMeter(RATE_HZ)
    meter.push(samples.astype(np.float32) / 32_768)
    found = meter.loudness_dbfs
    assert found is not None
    return found


@pytest.mark.parametrize("level_dbfs", [-31, -26, -20, -14, -9])
def test_a_voice_comes_to_the_target(level_dbfs: float) -> None:
    heard = normalised(speech(level_dbfs))
    assert loudness(heard[10 * RATE_HZ :]) == pytest.approx(TARGET_DBFS, abs=1.0)
    assert np.abs(heard.astype(np.int32)).max() <= CEILING


def test_a_voice_at_the_target_stays_as_it_is() -> None:
    pcm = speech(TARGET_DBFS)
    before, after = np.frombuffer(pcm, np.int16).astype(np.float64), normalised(pcm)
    change_db = 20 * np.log10(np.std(after) / np.std(before))
    assert abs(change_db) < 0.5


def test_the_gain_is_bounded() -> None:
    heard = normalised(speech(-45))
    assert loudness(heard[10 * RATE_HZ :]) == pytest.approx(-45 + MAX_GAIN_DB, abs=1.0)


@pytest.mark.parametrize("noise_dbfs", [-60, -90])
def test_silence_and_faint_noise_are_not_lifted(noise_dbfs: float) -> None:
    random = np.random.default_rng(2)
    noise = random.standard_normal(10 * RATE_HZ) * 32_767 * amplitude(noise_dbfs)
    pcm = np.rint(noise).astype(np.int16)
    assert (np.abs(normalised(pcm.tobytes()).astype(np.int32) - pcm) <= 1).all()


def test_the_gain_moves_slowly_and_stands_still_in_pauses() -> None:
    normaliser, pcm = Normaliser(RATE_HZ), speech(-32, 12)
    size, gains = RATE_HZ // 50 * 2, []
    for at in range(0, len(pcm), size):
        normaliser.push(pcm[at : at + size])
        gains.append(normaliser.gain_db)
    steps = np.diff(gains)
    assert steps.max() <= SLOPE_DB_PER_S * 0.1 + 1e-9
    # From 2.4 + 0.4 s (the last block with a voice) to 3 s of each three.
    assert not steps[142:150].any()
    late = np.array(gains[500:])
    assert late.max() - late.min() < 0.5, "it does not pump"


@pytest.mark.parametrize("piece_ms", [1, 7, 20, 1000])
def test_nothing_clips_whatever_the_pieces(piece_ms: int) -> None:
    """A quiet voice has brought the gain up; then somebody shouts."""
    pcm = speech(-32, 8) + speech(-4, 2)
    heard = normalised(pcm, piece_ms).astype(np.int32)
    assert len(heard) == len(pcm) // 2
    assert np.abs(heard).max() <= CEILING


def test_the_limiter_bends_no_wave_where_it_sees_the_peak_coming() -> None:
    time = np.arange(RATE_HZ) / RATE_HZ
    quiet = speech(-32, 8)
    size = RATE_HZ // 50 * 2
    normaliser = Normaliser(RATE_HZ)
    for at in range(0, len(quiet), size):
        normaliser.push(quiet[at : at + size])
    shout = np.rint(25_000 * np.minimum(1, time / 0.1) * np.sin(2 * np.pi * 200 * time))
    heard = np.frombuffer(normaliser.push(shout.astype(np.int16).tobytes()), np.int16)
    spectrum = np.abs(np.fft.rfft(heard[RATE_HZ // 2 :] * np.hanning(RATE_HZ // 2))) ** 2
    around = spectrum[90:111].sum()
    assert 10 * np.log10((spectrum.sum() - around) / around) < -40


def test_an_empty_piece_stays_empty() -> None:
    assert Normaliser(RATE_HZ).push(b"") == b""
