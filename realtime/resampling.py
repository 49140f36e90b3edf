"""Sample rate conversion of one PCM16 mono stream, for providers whose rates differ."""

from __future__ import annotations

import av
from av.audio.frame import AudioFrame


class Resampler:
    """Streaming; holds back about a millisecond."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._resampler = (
            None if from_hz == to_hz else av.AudioResampler(format="s16", layout="mono", rate=to_hz)
        )

    def push(self, pcm: bytes) -> bytes:
        """Convert the next piece of the stream (whole samples)."""
        if not pcm or self._resampler is None:
            return pcm
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = self._from_hz
        frame.planes[0].update(pcm + bytes(frame.planes[0].buffer_size - len(pcm)))
        frames = self._resampler.resample(frame)
        return b"".join(bytes(each.planes[0])[: each.samples * 2] for each in frames)
