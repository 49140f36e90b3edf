"""Audio of WAV files of any kind (sample size, rate, channels) as PCM16 mono."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.error import FFmpegError

MAX_LENGTH_S: Final = 600.0


def read_audio(path: Path, sample_rate_hz: int) -> bytes:
    """The samples of a WAV file, PCM16 mono at `sample_rate_hz`; channels are mixed.

    Raises:
        OSError: the file cannot be read.
        ValueError: no WAV, nothing in it, or longer than `MAX_LENGTH_S`.
    """
    pcm = bytearray()
    try:
        with path.open("rb") as file:
            for piece in _decode(file, sample_rate_hz):
                pcm += piece
                if len(pcm) > int(MAX_LENGTH_S * sample_rate_hz) * 2:
                    raise ValueError(f"{path}: longer than {MAX_LENGTH_S:g} s")
    except FFmpegError as error:
        raise ValueError(f"{path}: not a WAV file that can be read ({error.strerror})") from error
    if not pcm:
        raise ValueError(f"{path}: holds no audio")
    return bytes(pcm)


def _decode(file: BinaryIO, sample_rate_hz: int) -> Iterator[bytes]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate_hz)
    # The format is named, so that nothing but a WAV is looked for in the file.
    with av.open(file, "r", format="wav") as container:
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().tobytes()
        for piece in resampler.resample(None):
            yield piece.to_ndarray().tobytes()
