"""Sample rate conversion of PCM16 mono streams; one converter per stream and direction."""

from __future__ import annotations

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

WIRE_RATE_HZ = 24_000
ENGINE_RATE_HZ = 16_000


class Resampler:
    """Streaming conversion; holds back about a millisecond until `flush`."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._resampler = self._open()

    def _open(self) -> AudioResampler:
        return av.AudioResampler(format="s16", layout="mono", rate=self._to_hz)

    def push(self, pcm: bytes) -> bytes:
        """Convert the next piece of the stream (whole samples)."""
        if not pcm or self._from_hz == self._to_hz:
            return pcm
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = self._from_hz
        frame.planes[0].update(pcm + bytes(frame.planes[0].buffer_size - len(pcm)))
        return _joined(self._resampler.resample(frame))

    def flush(self) -> bytes:
        """What was held back; the next `push` begins a new stream."""
        if self._from_hz == self._to_hz:
            return b""
        rest = _joined(self._resampler.resample(None))
        self._resampler = self._open()
        return rest


def _joined(frames: list[AudioFrame]) -> bytes:
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)
