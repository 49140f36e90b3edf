"""Shorter speech keeps its pitch and its level; only what nobody misses counts as quiet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.receive.time_stretch import QuietDetector, Samples, shorten
from tests.rtc.sound import frequency_hz, loudness, tone

RATE_HZ = 24_000


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, np.int16)


@pytest.mark.parametrize("hz", [90, 150, 220, 390])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_a_voiced_frame_loses_whole_periods(hz: int, rate_hz: int) -> None:
    sound = _samples(tone(hz, 1.0, rate_hz))
    frames = sound.reshape(50, -1)
    shorter = np.concatenate([shorten(frame, rate_hz) for frame in frames])
    assert 0.35 * len(sound) < len(shorter) < 0.9 * len(sound)
    removed = (len(frames[0]) - len(shorten(frames[0], rate_hz))) / rate_hz * hz
    assert abs(removed - round(removed)) < 0.1
    assert loudness(shorter.tobytes()) == pytest.approx(loudness(sound.tobytes()), rel=0.1)
    # No clicks: the steepest step of a joined frame is that of the sound itself.
    assert (
        np.abs(np.diff(shorten(frames[0], rate_hz).astype(int))).max()
        <= 1.3 * np.abs(np.diff(sound.astype(int))).max()
    )


def test_the_pitch_stays() -> None:
    sound = _samples(tone(220, 1.0, RATE_HZ))
    pieces = [sound[at : at + 480] for at in range(0, len(sound), 480)]
    # Every third frame, as the voice does it.
    shorter = [shorten(p, RATE_HZ) if i % 3 == 0 else p for i, p in enumerate(pieces)]
    assert abs(frequency_hz(np.concatenate(shorter).tobytes(), RATE_HZ) - 220) < 8


def test_what_does_not_repeat_is_cut_only_when_urgent() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 480).astype(np.int16)
    assert shorten(noise, RATE_HZ) is noise
    assert len(shorten(noise, RATE_HZ, is_urgent=True)) < 480


@given(st.binary(max_size=4000).filter(lambda b: len(b) % 2 == 0), st.booleans())
def test_any_sound_is_survived(pcm: bytes, is_urgent: bool) -> None:
    samples = _samples(pcm)
    shorter = shorten(samples, RATE_HZ, is_urgent=is_urgent)
    assert len(samples) - 300 <= len(shorter) <= len(samples)


def test_quiet_is_silence_and_the_background() -> None:
    rng = np.random.default_rng(2)
    detector = QuietDetector()
    assert detector.is_quiet(np.zeros(480, np.int16))
    speech = _samples(tone(200, 0.02, RATE_HZ))
    assert not detector.is_quiet(speech)
    noisy = [rng.normal(0, 250, 480).astype(np.int16) for _ in range(400)]
    heard = [detector.is_quiet(frame) for frame in noisy]
    assert not heard[0]
    assert all(heard[-50:])
    assert not detector.is_quiet(speech)
