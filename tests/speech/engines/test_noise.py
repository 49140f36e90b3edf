"""Noise suppression of a session's input: quieter noise, speech in its place."""

from __future__ import annotations

import numpy as np
import pytest

from speech.engines.noise import LEVELS, NoiseSuppressor
from speech.engines.vad import SileroDetector
from speech.input_buffer import InputAudioBuffer
from tests.speech.talk import utterance

RATE_HZ = 16_000


def _level(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, np.int16).astype(np.float64) ** 2)))


@pytest.mark.parametrize("kind", LEVELS)
def test_steady_noise_becomes_quiet_in_pieces_of_any_size(kind: str) -> None:
    noise = np.random.default_rng(1).normal(0, 800, 3 * RATE_HZ).astype(np.int16).tobytes()
    suppressor = NoiseSuppressor(LEVELS[kind])
    made = b"".join(suppressor.push(noise[at : at + 734]) for at in range(0, len(noise), 734))
    made += suppressor.flush()
    assert len(made) == len(noise)
    assert _level(made[-RATE_HZ:]) < _level(noise[-RATE_HZ:]) / 2


def test_a_session_hears_without_noise_what_it_is_told_to() -> None:
    buffer = InputAudioBuffer(SileroDetector(), max_turn_ms=60_000)
    speech = utterance("u03_f_pink10")
    levels = []
    for kind in (None, "near_field", "far_field", None):
        buffer.suppress_noise(kind)
        for at in range(0, len(speech), 4_800):
            buffer.push(speech[at : at + 4_800])
        heard = buffer.take_all()
        # Both rates hold the same stretch of time, but for the frame that is under way.
        assert abs(len(heard.engine_pcm) / 32 - len(heard.wire_pcm) / 48) <= 25
        levels.append(_level(heard.engine_pcm[: RATE_HZ // 4]))
    assert levels[1] < levels[0]
    assert levels[2] < levels[0]
    assert levels[3] == pytest.approx(levels[0], rel=0.2)
