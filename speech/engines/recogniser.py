"""Speech to text: Whisper tiny.en on CTranslate2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speech.engines import files, mel

MIN_WINDOW_S = 15
"""Shorter encoder windows make Whisper repeat itself; longer ones only cost time."""

MAX_PIECE_S = 27
"""Whisper hears at most 30 s at once; longer audio is cut at its quietest place."""

NO_SPEECH_LIMIT = 0.6
"""Above this, the text is what Whisper imagines in silence and noise ("Thank you.")."""

_SHORTEST_S = 0.1


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said; empty when nobody spoke. `tokens` counts the model's output tokens."""

    text: str
    no_speech_prob: float = 0.0
    tokens: int = 0


class Recogniser(Protocol):
    """Turns one utterance into text. Called from worker threads, several at once."""

    def transcribe(self, pcm: bytes) -> Transcript:
        """Recognise PCM16 mono at 16 kHz."""
        ...


def _byte_alphabet() -> dict[str, int]:
    """GPT-2 writes each byte as a printable character; this is the way back."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


class Detokeniser:
    """Token ids to text, from the vocabulary in a `tokenizer.json`."""

    def __init__(self, tokenizer_path: Path) -> None:
        model = json.loads(tokenizer_path.read_text(encoding="utf-8"))["model"]
        alphabet = _byte_alphabet()
        self._bytes: dict[int, bytes] = {
            index: bytes(alphabet[letter] for letter in token)
            for token, index in model["vocab"].items()
            if all(letter in alphabet for letter in token)
        }

    def text(self, ids: list[int]) -> str:
        """The text of `ids`; ids outside the vocabulary (marks) are left out."""
        joined = b"".join(self._bytes.get(index, b"") for index in ids)
        return joined.decode("utf-8", errors="replace").strip()


def split_at_quiet(samples: mel.Floats) -> list[mel.Floats]:
    """Pieces of at most `MAX_PIECE_S`, cut where the last third of each is quietest."""
    limit = MAX_PIECE_S * mel.SAMPLE_RATE_HZ
    step = mel.SAMPLE_RATE_HZ // 10
    pieces = []
    while len(samples) > limit:
        window = samples[limit * 2 // 3 : limit]
        blocks = window[: len(window) // step * step].reshape(-1, step)
        quietest = int(np.argmin((blocks**2).mean(axis=1)))
        cut = limit * 2 // 3 + quietest * step + step // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


class WhisperRecogniser:
    """The packaged English Whisper, or one from `directory` in CTranslate2's form."""

    def __init__(
        self, *, directory: Path | None = None, threads: int = 2, beam_size: int = 1
    ) -> None:
        """Load the model (blocks for about half a second).

        Raises:
            ModelFilesError: package missing or files not the pinned ones.
        """
        if directory is None:
            directory = files.locate(files.WHISPER_WEIGHTS).parent
            files.locate(files.WHISPER_TOKENIZER)
        try:
            import ctranslate2
        except ImportError as error:
            raise files.ModelFilesError(
                "package ctranslate2 is not installed: run `make setup` to get the local models"
            ) from error
        self._ct2: Any = ctranslate2
        self._model: Any = ctranslate2.models.Whisper(
            str(directory),
            device="cpu",
            compute_type="int8",
            intra_threads=1,
            inter_threads=threads,
        )
        self._detokeniser = Detokeniser(directory / "tokenizer.json")
        self._beam_size = beam_size

    def transcribe(self, pcm: bytes) -> Transcript:
        """Recognise PCM16 mono at 16 kHz, of any length."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0
        if len(samples) < _SHORTEST_S * mel.SAMPLE_RATE_HZ:
            return Transcript("", 1.0)
        heard = [self._transcribe_piece(piece) for piece in split_at_quiet(samples)]
        return Transcript(
            " ".join(part.text for part in heard if part.text),
            min(part.no_speech_prob for part in heard),
            sum(part.tokens for part in heard),
        )

    def _transcribe_piece(self, samples: NDArray[np.float32]) -> Transcript:
        duration_s = len(samples) / mel.SAMPLE_RATE_HZ
        window_s = max(MIN_WINDOW_S, ceil(duration_s + 1))
        padded = np.zeros(window_s * mel.SAMPLE_RATE_HZ, np.float32)
        padded[: len(samples)] = samples
        features = self._ct2.StorageView.from_array(
            np.ascontiguousarray(mel.log_mel(padded)[np.newaxis])
        )
        result = self._model.generate(
            self._model.encode(features),
            [["<|startoftranscript|>", "<|notimestamps|>"]],
            beam_size=self._beam_size,
            max_length=int(12 * duration_s) + 14,
            return_no_speech_prob=True,
        )[0]
        if result.no_speech_prob > NO_SPEECH_LIMIT:
            return Transcript("", result.no_speech_prob)
        ids = list(result.sequences_ids[0])
        return Transcript(self._detokeniser.text(ids), result.no_speech_prob, len(ids))
