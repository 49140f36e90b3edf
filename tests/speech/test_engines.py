"""The real models: what they hear, what they say, and which files they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from audio import Resampler
from speech.engines import files, mel
from speech.engines.piper import PiperVoice
from speech.engines.whisper import MAX_PIECE_S, WhisperRecogniser, split_at_quiet
from speech.errors import SpeechError
from speech.spoken_text.numbers import figures
from speech.spoken_text.spoken_form import spoken_form
from tests.speech.talk import DATA, transcripts
from tests.wav_files import read_wav

EXACT = sorted(set(transcripts()) - {"p01_f_pause700"})


def _plain(text: str) -> str:
    text = figures(re.sub(r"[^\w\s']", " ", text.lower().replace("dr.", "doctor")))
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.speech
@pytest.mark.parametrize("name", EXACT)
def test_recorded_sentences_are_understood_word_by_word(
    recogniser: WhisperRecogniser, name: str
) -> None:
    pcm, rate_hz = read_wav(DATA / f"{name}.wav")
    assert rate_hz == 16_000
    heard = recogniser.transcribe(pcm)
    assert _plain(heard.text) == _plain(transcripts()[name])
    assert heard.no_speech_prob < 0.4


@pytest.mark.speech
@pytest.mark.parametrize("kind", ["silence", "noise", "tone", "click"])
def test_nothing_is_imagined_where_nobody_speaks(recogniser: WhisperRecogniser, kind: str) -> None:
    samples = np.zeros(32_000)
    if kind == "noise":
        samples = np.random.default_rng(1).normal(0, 1_500, 32_000)
    elif kind == "tone":
        samples = 8_000 * np.sin(np.arange(32_000) * 2 * np.pi * 440 / 16_000)
    elif kind == "click":
        samples[16_000:16_010] = 20_000
    assert recogniser.transcribe(samples.astype(np.int16).tobytes()).text == ""


@pytest.mark.speech
def test_a_long_recording_is_understood_in_pieces(recogniser: WhisperRecogniser) -> None:
    names = [
        "u07_f",
        "u15_f",
        "u18_f",
        "u22_m",
        "u03_f",
        "u16_f",
        "u20_m",
        "u02_f",
        "u12_f_pink10",
        "u01_m",
    ]
    recording = b"".join(read_wav(DATA / f"{name}.wav")[0] for name in names)
    assert len(recording) / 32_000 > MAX_PIECE_S
    heard = _plain(recogniser.transcribe(recording).text)
    assert heard == " ".join(_plain(transcripts()[name]) for name in names)


@pytest.mark.speech
@pytest.mark.parametrize(
    "text",
    [
        "It is 3:45 PM in Tokyo.",
        "27 times 14 is 378.",
        "Yes, I can hear you. What can I do for you?",
        "Your timer is set for 5 minutes.",
        "It is Saturday, November 21, 2026.",
    ],
)
def test_what_the_voice_says_is_heard(
    recogniser: WhisperRecogniser, voice: PiperVoice, text: str
) -> None:
    resampler = Resampler(voice.sample_rate_hz, 16_000)
    pcm = resampler.push(voice.synthesise(spoken_form(text))) + resampler.flush()
    heard = _plain(recogniser.transcribe(pcm).text.replace(":", " ").replace(".m", "m"))
    wanted = _plain(text.replace(":", " "))
    assert heard.replace("p m", "pm").replace(" ", "") == wanted.replace(" ", "")


@pytest.mark.speech
def test_speed_and_emptiness(voice: PiperVoice) -> None:
    normal = voice.synthesise("The quick brown fox jumps.")
    assert len(voice.synthesise("The quick brown fox jumps.", speed=1.5)) < 0.75 * len(normal)
    assert voice.synthesise("") == b""
    assert voice.synthesise("... !") == b""
    assert isinstance(voice.synthesise("\u4f60\u597d, \U0001f600 na\u00efve \u0663"), bytes)


def test_a_changed_model_file_is_refused(tmp_path: Path) -> None:
    impostor = tmp_path / "model.bin"
    impostor.write_bytes(b"not the model")
    with pytest.raises(SpeechError, match="not the pinned one"):
        files.verify(impostor, files.WHISPER_WEIGHTS.sha256)
    with pytest.raises(SpeechError, match="cannot be read: run `make setup`"):
        files.verify(tmp_path / "absent", files.WHISPER_WEIGHTS.sha256)


def test_a_missing_package_is_named() -> None:
    absent = files.PinnedFile("no_such_package_here", "x", "")
    with pytest.raises(
        SpeechError, match=r"no_such_package_here is not installed: run `make setup`"
    ):
        files.locate(absent)


def test_mel_filters_have_the_shape_and_area_of_whispers() -> None:
    filters = mel.mel_filters()
    assert filters.shape == (80, 201)
    assert filters.min() == 0.0
    assert filters.max() == pytest.approx(0.02586, abs=2e-4)
    assert mel.log_mel(np.zeros(16_000, np.float32)).shape == (80, 100)


def test_long_audio_is_cut_where_it_is_quiet() -> None:
    rate = mel.SAMPLE_RATE_HZ
    samples = np.random.default_rng(2).normal(0, 0.1, 40 * rate).astype(np.float32)
    quiet = 22 * rate
    samples[quiet : quiet + rate // 2] = 0
    first, second = split_at_quiet(samples)
    assert quiet <= len(first) <= quiet + rate // 2
    assert len(first) + len(second) == len(samples)
    assert len(first) <= MAX_PIECE_S * rate


def test_resampling_keeps_pitch_and_length() -> None:
    tone = (8_000 * np.sin(np.arange(22_050) * 2 * np.pi * 440 / 22_050)).astype(np.int16)
    resampler = Resampler(22_050, 24_000)
    pieces = [resampler.push(tone[i : i + 441].tobytes()) for i in range(0, 22_050, 441)]
    result = np.frombuffer(b"".join([*pieces, resampler.flush()]), np.int16)
    assert abs(len(result) - 24_000) <= 2
    peak_hz = int(np.argmax(np.abs(np.fft.rfft(result)))) * 24_000 / len(result)
    assert peak_hz == pytest.approx(440, abs=1)
