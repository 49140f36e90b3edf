"""Header of a recording: a stereo Broadcast WAV (EBU 3285) with the time of its first sample. Pure.

It has the fixed size `HEAD_BYTES`, so that it can be rewritten in place as the file grows. Beyond 4
GiB it becomes RF64 (EBU 3306), for whose sizes space is reserved from the start.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

HEAD_BYTES: Final = 690
_AUDIO_CHANNELS: Final = 2
_SAMPLE_BYTES: Final = 2
_LARGEST_RIFF: Final = 2**32 - 1
_HIGHEST_RATE_HZ: Final = 1_000_000
_MOST_BYTES: Final = 2**50
_BEXT: Final = struct.Struct("<256s32s32s10s8sQH254s")
_DS64: Final = struct.Struct("<QQQI")
_FMT: Final = struct.Struct("<HHIIHH")
# Offsets in the header.
_DATA_BYTES_AT: Final = 28
_BEXT_AT: Final = 56
_FMT_AT: Final = 666
_DAY_S: Final = 24 * 3600
_ORIGINATOR: Final = b"Parley"


class NotARecordingError(ValueError):
    """The bytes are not a header that `WavHead.to_bytes` wrote."""


@dataclass(frozen=True)
class WavHead:
    """began_ms: Unix time of the first sample; description: ASCII, cut after 256 characters"""

    sample_rate_hz: int
    data_bytes: int
    began_ms: int
    description: str

    def to_bytes(self) -> bytes:
        """Return the header, `HEAD_BYTES` long."""
        riff_bytes = HEAD_BYTES - 8 + self.data_bytes
        is_large = riff_bytes > _LARGEST_RIFF
        sizes = _DS64.pack(riff_bytes, self.data_bytes, self.data_bytes // 4, 0)
        block = _AUDIO_CHANNELS * _SAMPLE_BYTES
        form = _FMT.pack(
            1, _AUDIO_CHANNELS, self.sample_rate_hz, self.sample_rate_hz * block, block, 16
        )
        return b"".join(
            (
                b"RF64" if is_large else b"RIFF",
                struct.pack("<I", _LARGEST_RIFF if is_large else riff_bytes),
                b"WAVE",
                _chunk(b"ds64", sizes) if is_large else _chunk(b"JUNK", bytes(len(sizes))),
                _chunk(b"bext", self._bext()),
                _chunk(b"fmt ", form),
                b"data",
                struct.pack("<I", _LARGEST_RIFF if is_large else self.data_bytes),
            )
        )

    def _bext(self) -> bytes:
        began = datetime.fromtimestamp(self.began_ms / 1000, UTC)
        midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
        since_midnight_ms = round((began - midnight) / timedelta(milliseconds=1))
        return _BEXT.pack(
            self.description.encode("ascii", "replace"),
            _ORIGINATOR,
            b"",
            began.strftime("%Y-%m-%d").encode(),
            began.strftime("%H:%M:%S").encode(),
            since_midnight_ms * self.sample_rate_hz // 1000,
            1,
            b"",
        )

    @classmethod
    def parse(cls, data: bytes) -> WavHead:
        """Parse a header that `to_bytes` wrote.

        Raises:
            NotARecordingError: it is something else.
        """
        head = cls._read(data) if len(data) >= HEAD_BYTES else None
        # A header that `to_bytes` wrote is reproduced by it.
        if head is None or head.to_bytes() != data[:HEAD_BYTES]:
            raise NotARecordingError("it is no recording of ours")
        return head

    @classmethod
    def _read(cls, data: bytes) -> WavHead | None:
        description, _, _, date, _, since_midnight, *_ = _BEXT.unpack_from(data, _BEXT_AT)
        _, _, rate_hz, *_ = _FMT.unpack_from(data, _FMT_AT)
        is_large = data[:4] == b"RF64"
        size, at = ("<Q", _DATA_BYTES_AT) if is_large else ("<I", HEAD_BYTES - 4)
        data_bytes = struct.unpack_from(size, data, at)[0]
        try:
            midnight = datetime.strptime(date.decode(), "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return None
        if not 0 < rate_hz <= _HIGHEST_RATE_HZ or data_bytes > _MOST_BYTES:
            return None
        if since_midnight >= _DAY_S * rate_hz:
            return None
        return cls(
            sample_rate_hz=rate_hz,
            data_bytes=data_bytes,
            began_ms=round(midnight.timestamp() * 1000) + round(since_midnight * 1000 / rate_hz),
            description=description.rstrip(b"\0").decode("ascii", "replace"),
        )


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body
