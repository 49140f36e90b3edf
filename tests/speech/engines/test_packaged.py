"""The engines that are set up on request, and voices and models of a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from audio import Resampler
from speech.engines import files
from speech.engines.create import create_recogniser, create_voices
from speech.engines.protocols import (
    BlockingRecogniser,
    BlockingVoice,
    RecogniserEngine,
    VoiceEngine,
)
from speech.engines.whisper import WhisperRecogniser
from speech.errors import SpeechError
from speech.options import RecogniserOptions, VoiceOptions
from speech.settings import SpeechSettings
from tests.speech.talk import DATA
from tests.wav_files import read_wav

SPANISH = DATA.parent / "speech_es.wav"
"""By Kokoro's voice `ef_dora`."""

SETTINGS = SpeechSettings()


def _recogniser(engine: RecogniserEngine) -> BlockingRecogniser:
    return engine.recogniser  # type: ignore[return-value]


def _voice(engine: VoiceEngine, name: str) -> BlockingVoice:
    return engine.get(name)  # type: ignore[return-value]


@pytest.mark.speech
def test_the_multilingual_recogniser_hears_which_language_it_is() -> None:
    engine = create_recogniser(RecogniserOptions(engine="whisper-base"), SETTINGS)
    assert engine.model == "whisper-base"
    assert engine.languages is None
    base = _recogniser(engine)
    spanish, _ = read_wav(SPANISH)
    heard = base.transcribe(spanish)
    assert heard.language == "es"
    assert "mesa para dos personas" in heard.text
    english = base.transcribe(read_wav(DATA / "u07_f.wav")[0], language="en")
    assert english.language == "en"
    assert english.text
    assert base.transcribe(bytes(32_000)).text == ""


@pytest.mark.speech
def test_kokoro_speaks_in_each_of_its_voices(recogniser: WhisperRecogniser, tmp_path: Path) -> None:
    shutil.copy(Path("speech/engines/kokoro/am_michael.bin"), tmp_path / "own.bin")
    engine = create_voices(VoiceOptions(engine="kokoro", directory=tmp_path), SETTINGS)
    assert engine.names == ("af_heart", "am_michael", "own")
    assert engine.languages == frozenset({"en"})
    said = {}
    for name in engine.names:
        voice = _voice(engine, name)
        made = voice.synthesise("I can hear you.", speed=1.2)
        assert isinstance(made, bytes)
        resampler = Resampler(voice.sample_rate_hz, 16_000)
        said[name] = resampler.push(made) + resampler.flush()
        assert recogniser.transcribe(said[name]).text == "I can hear you."
        assert voice.synthesise("... !") == b""
    assert said["af_heart"] != said["am_michael"]
    assert len(said["own"]) == len(said["am_michael"])


def _piper_folder(folder: Path, **changes: Any) -> Path:
    """A folder with the packaged voice's model, described in another way."""
    weights, config = files.locate(files.VOICE_WEIGHTS), files.locate(files.VOICE_CONFIG)
    (folder / "own.onnx").symlink_to(weights)
    description = {**json.loads(config.read_text(encoding="utf-8")), **changes}
    (folder / "own.onnx.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


@pytest.mark.speech
def test_a_piper_voice_of_a_folder_speaks(tmp_path: Path) -> None:
    engine = create_voices(VoiceOptions(directory=_piper_folder(tmp_path)), SETTINGS)
    assert engine.names == ("own",)
    assert engine.languages == frozenset({"en"})
    assert len(bytes(_voice(engine, "own").synthesise("Hello."))) > 10_000  # type: ignore[arg-type]


def test_a_piper_voice_that_cannot_be_pronounced_is_refused(tmp_path: Path) -> None:
    folder = _piper_folder(tmp_path, language={"code": "de_DE"})
    with pytest.raises(SpeechError, match=r"speaks 'de'.*/v1/audio/speech"):
        create_voices(VoiceOptions(directory=folder), SETTINGS)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"phoneme_id_map": {"^": [1]}}'])
def test_a_piper_voice_without_a_description_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.onnx").write_bytes(b"")
    (tmp_path / "own.onnx.json").write_text(content, encoding="utf-8")
    with pytest.raises(SpeechError, match="does not describe a Piper voice"):
        create_voices(VoiceOptions(directory=tmp_path), SETTINGS)


def test_folders_without_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="holds no voice"):
        create_voices(VoiceOptions(directory=tmp_path), SETTINGS)
    with pytest.raises(SpeechError, match="holds no Whisper model"):
        create_recogniser(RecogniserOptions(directory=tmp_path), SETTINGS)
    (tmp_path / "broken.bin").write_bytes(b"no voice")
    with pytest.raises(SpeechError, match=r"broken.bin is no voice of Kokoro"):
        create_voices(VoiceOptions(engine="kokoro", directory=tmp_path), SETTINGS)


def test_a_missing_part_says_the_command_that_installs_it() -> None:
    absent = files.PinnedParts((("no_such_package_here", "x"),), "", "make setup SPEECH=kokoro")
    with pytest.raises(SpeechError, match=r"not installed: run `make setup SPEECH=kokoro`"):
        files.join(absent)


def test_parts_that_join_to_something_else_are_refused() -> None:
    changed = files.PinnedParts(files.KOKORO_WEIGHTS.parts[:1], "0" * 64, "make setup")
    with pytest.raises(SpeechError, match="not the pinned one"):
        files.join(changed)
