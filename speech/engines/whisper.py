"""Speech to text: Whisper on CTranslate2, in English or in many languages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech.engines import files, mel
from speech.engines.protocols import Transcript

MIN_WINDOW_S = 15
"""Shorter encoder windows make Whisper repeat itself; longer ones only cost time."""

MAX_PIECE_S = 27
"""Whisper hears at most 30 s at once; longer audio is cut at its quietest place."""

NO_SPEECH_LIMIT = 0.6
"""Above this, the text is what Whisper imagines in silence and noise ("Thank you.")."""

_SHORTEST_S = 0.1


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


@dataclass(frozen=True, slots=True)
class WhisperFiles:
    """The files of a model.

    directory: of the model, or its name where `contents` has the files
    """

    directory: Path
    tokenizer: Path
    contents: dict[str, bytes] | None = None

    @classmethod
    def tiny(cls) -> WhisperFiles:
        """Return those of the packaged English model. Raises: ModelFilesError."""
        directory = files.locate(files.WHISPER_WEIGHTS).parent
        return cls(directory, files.locate(files.WHISPER_TOKENIZER))

    @classmethod
    def base(cls) -> WhisperFiles:
        """Return those of the packaged multilingual model. Raises: ModelFilesError."""
        contents = {
            "model.bin": files.join(files.WHISPER_BASE_WEIGHTS),
            "config.json": files.locate(files.WHISPER_BASE_CONFIG).read_bytes(),
            "vocabulary.txt": files.locate(files.WHISPER_BASE_VOCABULARY).read_bytes(),
        }
        return cls(Path("whisper-base"), files.locate(files.WHISPER_BASE_TOKENIZER), contents)

    @classmethod
    def of(cls, directory: Path) -> WhisperFiles:
        """Return those of a folder, unchecked."""
        return cls(directory, directory / "tokenizer.json")


class WhisperRecogniser:
    """A Whisper model in CTranslate2's form."""

    def __init__(
        self, model: WhisperFiles | None = None, *, threads: int = 2, beam_size: int = 1
    ) -> None:
        """Load the model (blocks for half a second or more); None: the packaged English one.

        Raises:
            ModelFilesError: package missing, files not the pinned ones, or no such model.
        """
        model = model or WhisperFiles.tiny()
        try:
            import ctranslate2
        except ImportError as error:
            raise files.not_installed("ctranslate2") from error
        self._ct2: Any = ctranslate2
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(model.directory),
                device="cpu",
                compute_type="int8",
                intra_threads=1,
                inter_threads=threads,
                files=model.contents,
            )
            self._detokeniser = Detokeniser(model.tokenizer)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise files.ModelFilesError(
                f"{model.directory} holds no Whisper model in CTranslate2's form: {reason}"
            ) from error
        self._beam_size = beam_size
        self.is_multilingual = bool(self._model.is_multilingual)
        noise = np.random.default_rng(0).normal(0, 1500, mel.SAMPLE_RATE_HZ).astype(np.int16)
        self.transcribe(noise.tobytes())  # the first call is three times as slow

    def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        """Recognise PCM16 mono at 16 kHz, of any length.

        language: ignored by a model of English; None: each piece's is detected
        """
        samples = np.frombuffer(pcm16k, np.int16).astype(np.float32) / 32768.0
        if len(samples) < _SHORTEST_S * mel.SAMPLE_RATE_HZ:
            return Transcript("", 1.0)
        heard = [self._transcribe_piece(piece, language) for piece in split_at_quiet(samples)]
        return Transcript(
            " ".join(part.text for part in heard if part.text),
            min(part.no_speech_prob for part in heard),
            sum(part.tokens for part in heard),
            next((part.language for part in heard if part.text), None),
        )

    def _transcribe_piece(self, samples: NDArray[np.float32], language: str | None) -> Transcript:
        duration_s = len(samples) / mel.SAMPLE_RATE_HZ
        encoded = self._encode(samples, duration_s)
        if not self.is_multilingual:
            language, marks = "en", ["<|startoftranscript|>"]
        else:
            language = language or self._detect(encoded)
            marks = ["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>"]
        result = self._model.generate(
            encoded,
            [[*marks, "<|notimestamps|>"]],
            beam_size=self._beam_size,
            max_length=int(12 * duration_s) + 14,
            return_no_speech_prob=True,
        )[0]
        if result.no_speech_prob > NO_SPEECH_LIMIT:
            return Transcript("", result.no_speech_prob)
        ids = list(result.sequences_ids[0])
        return Transcript(self._detokeniser.text(ids), result.no_speech_prob, len(ids), language)

    def _encode(self, samples: NDArray[np.float32], duration_s: float) -> Any:
        window_s = max(MIN_WINDOW_S, ceil(duration_s + 1))
        padded = np.zeros(window_s * mel.SAMPLE_RATE_HZ, np.float32)
        padded[: len(samples)] = samples
        features = np.ascontiguousarray(mel.log_mel(padded)[np.newaxis])
        return self._model.encode(self._ct2.StorageView.from_array(features))

    def _detect(self, encoded: Any) -> str:
        """Return the most probable language of what was encoded, as an ISO 639-1 code."""
        mark, _probability = self._model.detect_language(encoded)[0][0]
        return str(mark).strip("<|>")
