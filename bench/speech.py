"""Recorded sentences, and how far what was heard is from what was said."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio import Resampler
from speech.spoken_text.numbers import figures
from tests.wav_files import read_wav

SPEECH = Path(__file__).parent.parent / "tests" / "data" / "speech"
RATE_HZ = 24_000


@dataclass(frozen=True)
class Sentence:
    """A sentence, and its sound at 24 kHz."""

    words: list[str]
    pcm: bytes


def sentences() -> list[Sentence]:
    """All recorded sentences."""
    return [Sentence(plain_words(text), load_speech(name)) for name, text in transcripts().items()]


def transcripts() -> dict[str, str]:
    """What is said, by file name."""
    with (SPEECH / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t")
        return {row["file"]: row["transcript"] for row in rows}


def sentences_by_file() -> dict[str, list[str]]:
    """Words of each recorded sentence by the name of its file."""
    with (SPEECH / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t")
        return {row["file"]: plain_words(row["transcript"]) for row in rows}


def load_speech(file_name: str) -> bytes:
    """A recorded sentence as PCM16 at 24 kHz."""
    pcm, rate_hz = read_wav(SPEECH / file_name)
    resampler = Resampler(rate_hz, RATE_HZ)
    return resampler.push(pcm) + resampler.flush()


def talk(length_s: float) -> bytes:
    """Talk without long pauses, as PCM16 at 24 kHz.

    A steady tone would cost less: it is soon taken for background noise and no longer sent.
    """
    pcm = b"".join(load_speech(name) for name in ("u12_f_pink10.wav", "u20_m.wav", "u18_f.wav"))
    wanted_bytes = int(length_s * RATE_HZ) * 2
    return (pcm * (wanted_bytes // len(pcm) + 1))[:wanted_bytes]


def plain_words(text: str) -> list[str]:
    """Words as they compare: lower case, no punctuation, numbers as figures."""
    text = text.lower().replace("dr.", "doctor")
    return figures(re.sub(r"[^\w\s']", " ", text)).split()


def wrong_words(said: Sequence[str], heard: Sequence[str]) -> int:
    """The least number of words to change, add and leave out (Levenshtein)."""
    distances = list(range(len(heard) + 1))
    for row, word in enumerate(said, 1):
        diagonal, distances[0] = distances[0], row
        for column, other in enumerate(heard, 1):
            changed = diagonal + (word != other)
            diagonal = distances[column]
            distances[column] = min(changed, diagonal + 1, distances[column - 1] + 1)
    return distances[-1]
