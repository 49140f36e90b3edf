"""PCM16 mono audio: resampling, WAV files, raw dumps. A leaf: imports no module of this project."""

from __future__ import annotations

import logging
import wave
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

_log = logging.getLogger("audio")

MAX_LENGTH_S: Final = 600.0
_DUMP_CHUNK_BYTES: Final = 64 * 1024
_DUMP_MAX_CHUNKS: Final = 64
"""Chunks of a dump that wait for the disk: 4 MiB; past it the dump is given up."""


def read_wav(path: Path, sample_rate_hz: int) -> bytes:
    """Return the samples of a WAV file as PCM16 mono at `sample_rate_hz`; channels are mixed.

    Raises:
        OSError: The file cannot be read.
        ValueError: Not a WAV file, empty, or longer than `MAX_LENGTH_S`.
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


class Resampler:
    """Streaming sample rate conversion; holds back about a millisecond until `flush`."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._resampler = None if from_hz == to_hz else self._open()

    def _open(self) -> AudioResampler:
        return av.AudioResampler(format="s16", layout="mono", rate=self._to_hz)

    def push(self, pcm: bytes) -> bytes:
        """Convert the next piece of the stream (whole samples)."""
        if not pcm or self._resampler is None:
            return pcm
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = self._from_hz
        frame.planes[0].update(pcm + bytes(frame.planes[0].buffer_size - len(pcm)))
        return _joined(self._resampler.resample(frame))

    def flush(self) -> bytes:
        """Return what was held back; the next `push` begins a new stream."""
        if self._resampler is None:
            return b""
        rest = _joined(self._resampler.resample(None))
        self._resampler = self._open()
        return rest


def _joined(frames: list[AudioFrame]) -> bytes:
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)


class PcmDump:
    """Writes raw PCM16 to a new file for debugging; the file appears with the first audio.

    The file is `NAME-TIME.pcm` with the UTC time at which the dump was made, so that a later call
    never overwrites an earlier one's. Writing happens on a thread of this dump: neither `write` nor
    `close` waits for the disk. A disk that fails or falls behind costs the rest of the file, never
    the call.
    """

    def __init__(self, directory: Path, name: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self._path = directory / f"{name}-{stamp}.pcm"
        self._buffer = bytearray()
        # Used by the thread only.
        self._file: BinaryIO | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._writes: deque[Future[None]] = deque()
        self._is_given_up = False

    def write(self, pcm: bytes) -> None:
        """Append `pcm`."""
        if self._is_given_up:
            return
        self._buffer += pcm
        if len(self._buffer) >= _DUMP_CHUNK_BYTES:
            self._submit()

    def close(self) -> None:
        """Write the rest, then close the file; safe to repeat."""
        if self._buffer and not self._is_given_up:
            self._submit()
        if (thread := self._thread) is not None:
            self._thread = None
            thread.submit(self._close_file)
            thread.shutdown(wait=False)

    def _submit(self) -> None:
        chunk, self._buffer = bytes(self._buffer), bytearray()
        while self._writes and self._writes[0].done():
            self._writes.popleft()
        if len(self._writes) >= _DUMP_MAX_CHUNKS:
            self._give_up("the disk is too slow")
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="pcm-dump")
        self._writes.append(self._thread.submit(self._append, chunk))

    def _append(self, chunk: bytes) -> None:
        if self._is_given_up:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("xb")
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            self._give_up(error.strerror)

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self._give_up(error.strerror)

    def _give_up(self, cause: str | None) -> None:
        if self._is_given_up:
            return
        self._is_given_up = True
        _log.warning("%s is incomplete: %s", self._path.name, cause)


def write_wav(path: Path, pcm: bytes, sample_rate_hz: int) -> None:
    """Write PCM16 mono samples as a WAV file."""
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate_hz)
        wav.writeframes(pcm)
