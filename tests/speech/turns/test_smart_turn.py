"""The end-of-turn model: its features beside those of its authors' code, and real speech."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from speech.engines.files import ModelFilesError
from speech.turns.smart_turn import SmartTurn, features, installed_path
from tests.speech.talk import DATA
from tests.wav_files import read_wav

# Of `compute_whisper_log_mel_features` in pipecat-ai 1.14.0 for the sound below: [bin, frame, value].
REFERENCE = (
    (0, 0, -0.21723),
    (5, 499, 0.67187),
    (10, 510, 1.72102),
    (60, 700, 1.58486),
    (79, 799, 0.31633),
)


def _speech(name: str) -> bytes:
    pcm, rate_hz = read_wav(DATA / f"{name}.wav")
    assert rate_hz == 16_000
    return pcm


def _chirp() -> bytes:
    seconds = np.arange(3 * 16_000) / 16_000
    sound = 8_000 * np.sin(2 * np.pi * (200 + 900 * seconds) * seconds)
    return sound.astype(np.int16).tobytes()


def test_features_are_those_of_the_models_authors() -> None:
    found = features(_chirp())
    assert found.shape == (80, 800)
    assert found.dtype == np.float32
    for mel_bin, frame, value in REFERENCE:
        assert found[mel_bin, frame] == pytest.approx(value, abs=1e-4)


def test_only_the_last_seconds_count_and_short_turns_are_padded() -> None:
    long = np.random.default_rng(1).integers(-9_000, 9_000, 10 * 16_000).astype(np.int16).tobytes()
    assert np.array_equal(features(long), features(long[-8 * 32_000 :]))
    assert np.isfinite(features(b"")).all()
    assert np.isfinite(features(bytes(640))).all()


@pytest.fixture(scope="module")
def model() -> SmartTurn:
    """The installed one."""
    return SmartTurn(installed_path())


@pytest.mark.speech
@pytest.mark.parametrize("name", ["u07_f", "u12_f_pink10", "u18_f", "u20_m", "u22_m"])
def test_a_whole_sentence_sounds_over(model: SmartTurn, name: str) -> None:
    assert model.probability(_speech(name)) > 0.8


@pytest.mark.speech
@pytest.mark.parametrize(
    ("name", "words_s"), [("u18_f", 2.1), ("u20_m", 2.5), ("u12_f_pink10", 2.5)]
)
def test_half_a_sentence_does_not(model: SmartTurn, name: str, words_s: float) -> None:
    cut = _speech(name)[: int((0.3 + words_s) * 32_000)]
    assert model.probability(cut + bytes(200 * 32)) < 0.5


@pytest.mark.speech
def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    shutil.copyfile(installed_path(), path)
    with path.open("r+b") as opened:
        opened.seek(1_000_000)
        opened.write(b"\0\1\2\3")
    with pytest.raises(ModelFilesError, match="is not the pinned one"):
        SmartTurn(path)
    with pytest.raises(ModelFilesError, match="cannot be read: run `make setup`"):
        SmartTurn(tmp_path / "none.onnx")
