"""A WAV file read while it arrives, of which streaming servers know no length. Pure."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from speech.errors import EngineError

_MAX_HEADER_BYTES: Final = 64 * 1024
_PCM_TAGS: Final = frozenset({1, 0xFFFE})


class WavStream:
    """Finds the format, then gives the samples as PCM16 mono."""

    def __init__(self) -> None:
        self.rate_hz: int | None = None
        self._buffer = bytearray()
        self._channels = 1
        self._left: int | None = None
        """Bytes of audio still to come; None before the first."""

    def push(self, piece: bytes) -> bytes:
        """Take in the next bytes, and return the whole frames among them.

        Raises:
            EngineError: no WAV file of 16-bit PCM.
        """
        self._buffer += piece
        if self._left is None and not self._read_header():
            if len(self._buffer) > _MAX_HEADER_BYTES:
                raise EngineError("the WAV file has no audio in its first 64 KiB")
            return b""
        assert self._left is not None
        frame_bytes = 2 * self._channels
        whole = min(len(self._buffer), self._left) // frame_bytes * frame_bytes
        frames = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        self._left -= whole
        if self._channels == 1:
            return frames
        samples = np.frombuffer(frames, np.int16).reshape(-1, self._channels)
        return bytes(samples.mean(axis=1).astype(np.int16).tobytes())

    def _read_header(self) -> bool:
        """Skip to the audio; false while it has not arrived."""
        buffer = self._buffer
        if len(buffer) < 12:
            return False
        if bytes(buffer[8:12]) != b"WAVE":
            raise EngineError("the file is no WAV file")
        at = 12
        while len(buffer) >= at + 8:
            name, length = struct.unpack_from("<4sI", buffer, at)
            if name == b"data":
                if self.rate_hz is None:
                    raise EngineError("the WAV file does not say its format")
                # Streams whose length is not known yet say 0 or the greatest number.
                self._left = length if 0 < length < 0x7FFFFFF0 else 1 << 62
                del buffer[: at + 8]
                return True
            if len(buffer) < at + 8 + length:
                return False
            if name == b"fmt ":
                self._read_format(at + 8, length)
            at += 8 + length + length % 2
        return False

    def _read_format(self, at: int, length: int) -> None:
        if length < 16:
            raise EngineError("the WAV file does not say its format")
        tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", self._buffer, at)
        if tag not in _PCM_TAGS or bits != 16 or not 1 <= channels <= 8:
            raise EngineError("the WAV file is not 16-bit PCM")
        if not 4_000 <= rate_hz <= 192_000:
            raise EngineError(f"the WAV file has a rate of {rate_hz} Hz")
        self._channels, self.rate_hz = channels, rate_hz
