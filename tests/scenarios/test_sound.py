"""Sound of a call: levels, noise, when a voice began and ended, and the recording."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from scenarios import sound
from tests.rtc.sound import tone

RATE = sound.SAMPLE_RATE_HZ
LOUD_FRAME = tone(440, 20 / 1000, RATE)
SILENT_FRAME = bytes(960)


def _heard(pattern: str) -> sound.HeardSound:
    """A frame of 20 ms for each letter: x is loud."""
    heard = sound.HeardSound()
    for at, letter in enumerate(pattern):
        heard.add(LOUD_FRAME if letter == "x" else SILENT_FRAME, at * 0.02)
    return heard


def test_the_span_of_a_voice_leaves_out_silence() -> None:
    pcm = bytes(RATE) + tone(440, 0.5, RATE) + bytes(RATE // 2)
    begin_s, end_s = sound.voice_span_s(pcm)
    assert begin_s == pytest.approx(0.5, abs=0.01)
    assert end_s == pytest.approx(1.0, abs=0.01)
    assert sound.voice_span_s(bytes(RATE * 2)) == (0.0, 1.0)


@pytest.mark.parametrize("kind", ["pink", "white"])
def test_noise_is_as_loud_as_asked_for_and_repeats_by_its_seed(kind: str) -> None:
    noise = sound.make_noise(1.0, 1000.0, kind, seed=3)  # type: ignore[arg-type]
    samples = np.frombuffer(noise, np.int16).astype(float)
    assert np.sqrt((samples**2).mean()) == pytest.approx(1000, rel=0.02)
    assert noise == sound.make_noise(1.0, 1000.0, kind, seed=3)  # type: ignore[arg-type]
    assert noise != sound.make_noise(1.0, 1000.0, kind, seed=4)  # type: ignore[arg-type]


def test_a_voice_in_noise_has_the_ratio_asked_for() -> None:
    voice = tone(440, 1.0, RATE)
    noisy = sound.at_snr(voice, 10.0)
    rest = np.frombuffer(noisy, np.int16).astype(float) - np.frombuffer(voice, np.int16)
    assert 20 * np.log10(sound.rms(voice) / np.sqrt((rest**2).mean())) == pytest.approx(10, abs=0.5)


def test_latency_and_silence_are_found_in_frames() -> None:
    heard = _heard("....xxxx..xx" + "." * 30)
    assert heard.first_loud_s(0.0) == pytest.approx(0.08)
    assert heard.first_loud_s(0.17) == pytest.approx(0.2)
    assert heard.loud_ms(0.0) == pytest.approx(120)
    assert heard.was_loud(0.15)
    assert not heard.was_loud(0.07)
    # The pause of 40 ms is none.
    assert heard.silent_from_s(0.1, 0.2, now_s=0.84) == pytest.approx(0.24)
    assert heard.silent_from_s(0.1, 0.02, now_s=0.84) == pytest.approx(0.16)
    assert heard.silent_from_s(0.1, 2.0, now_s=0.84) is None


def test_a_recording_has_people_left_and_the_agent_right(tmp_path: Path) -> None:
    people = [(10.5, tone(440, 0.2, RATE))]
    agent = [(11.0 + at * 0.0201, LOUD_FRAME) for at in range(10)]
    sound.write_call(tmp_path / "call.wav", people, agent, origin_s=10.0)
    with wave.open(str(tmp_path / "call.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, RATE)
        both = np.frombuffer(wav.readframes(wav.getnframes()), np.int16).reshape(-1, 2)
    left, right = (np.flatnonzero(np.abs(both[:, side]) > 800) / RATE for side in (0, 1))
    assert (left[0], left[-1]) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.7, abs=0.01))
    assert (right[0], right[-1]) == (pytest.approx(1.0, abs=0.01), pytest.approx(1.2, abs=0.02))
