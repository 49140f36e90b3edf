"""Word errors of the recogniser with and without noise suppression: `python -m bench.noise_suppression [FOLDER]`.

The recorded sentences, clean and with noise added at several ratios: pink noise, and other people
who talk (the recordings themselves, on top of one another). FOLDER: further WAV files with a
`manifest.tsv` (file, transcript).
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.speech import SPEECH, plain_words, wrong_words
from speech.engines.noise import LEVELS, NoiseSuppressor
from speech.engines.whisper import WhisperRecogniser
from tests.wav_files import read_wav

RATIOS_DB: Final = (10, 5)
_RATE_HZ: Final = 16_000
_LEAD: Final = bytes(_RATE_HZ)
"""Half a second of what is heard before someone speaks, from which the noise is learned."""

Samples = NDArray[np.float32]
Mix = Callable[[Samples], Samples]


def sentences(folders: list[Path]) -> list[tuple[list[str], Samples]]:
    """Words and samples of every recording."""
    found = []
    for folder in folders:
        with (folder / "manifest.tsv").open(encoding="utf-8") as manifest:
            for row in csv.DictReader(manifest, delimiter="\t"):
                pcm, rate_hz = read_wav(folder / row["file"])
                assert rate_hz == _RATE_HZ
                samples = np.frombuffer(_LEAD + pcm, np.int16).astype(np.float32)
                found.append((plain_words(row["transcript"]), samples))
    return found


def pink(length: int, generator: np.random.Generator) -> Samples:
    """Noise whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(generator.normal(size=length))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return np.asarray(np.fft.irfft(spectrum, length), np.float32)


def mixes(voices: list[Samples]) -> Iterator[tuple[str, Mix]]:
    """What is added to each recording, by name."""
    generator = np.random.default_rng(7)

    def talk(length: int) -> Samples:
        chosen = generator.choice(len(voices), 6, replace=False)
        parts = [np.resize(np.roll(voices[one], 7_919), length) for one in chosen]
        return np.asarray(np.sum(parts, axis=0), np.float32)

    yield "as recorded", lambda samples: samples
    for ratio_db in RATIOS_DB:
        yield (
            f"pink noise, {ratio_db} dB",
            partial(_add, ratio_db, partial(pink, generator=generator)),
        )
        yield f"six voices, {ratio_db} dB", partial(_add, ratio_db, talk)


def _add(ratio_db: float, make_noise: Callable[[int], Samples], samples: Samples) -> Samples:
    noise = make_noise(len(samples))
    loud = samples[np.abs(samples) > 200]
    level = np.sqrt(np.mean(loud**2) / np.mean(noise**2)) * 10 ** (-ratio_db / 20)
    return np.asarray(np.clip(samples + noise * level, -32_768, 32_767), np.float32)


def main() -> None:
    """Print a row for each mix, and the time that suppression takes."""
    recordings = sentences([SPEECH, *map(Path, sys.argv[1:])])
    recogniser = WhisperRecogniser()
    kinds: list[str | None] = [None, *LEVELS]
    print(f"{len(recordings)} recordings, {sum(len(words) for words, _ in recordings)} words")
    print(f"{'word errors, %':<22}" + "".join(f"{kind or 'off':>12}" for kind in kinds))
    spent_s = audio_s = 0.0
    for name, mix in mixes([samples for _, samples in recordings]):
        wrong = dict.fromkeys(kinds, 0)
        for words, samples in recordings:
            pcm = mix(samples).astype(np.int16).tobytes()
            for kind in kinds:
                began_s = time.process_time()
                heard = pcm if kind is None else NoiseSuppressor(LEVELS[kind]).push(pcm)
                if kind is not None:
                    spent_s += time.process_time() - began_s
                    audio_s += len(pcm) / 2 / _RATE_HZ
                text = recogniser.transcribe(heard).text
                wrong[kind] += wrong_words(words, plain_words(text))
        total = sum(len(words) for words, _ in recordings)
        print(f"{name:<22}" + "".join(f"{100 * wrong[kind] / total:12.1f}" for kind in kinds))
    print(f"suppression takes {100 * spent_s / audio_s:.2f} % of a core")


if __name__ == "__main__":
    main()
