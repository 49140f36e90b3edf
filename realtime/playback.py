"""`RealtimePlaybackTracker`: how much of which reply an application has really played.

For those who play model audio themselves instead of through a channel of ours. An agent keeps one
too (`RealtimeKitAgent.playback_tracker`), fed with what its listeners have heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AudioEncoding = Literal["pcm16", "g711_ulaw", "g711_alaw"]

_BYTES_PER_SAMPLE: dict[AudioEncoding, int] = {"pcm16": 2, "g711_ulaw": 1, "g711_alaw": 1}


@dataclass(frozen=True, slots=True)
class PlaybackState:
    """What is being played; no ids and 0 ms when nothing is."""

    current_item_id: str | None = None
    current_item_content_index: int | None = None
    elapsed_ms: float = 0.0


class RealtimePlaybackTracker:
    """Adds up what the application reports; a new content part starts again at zero."""

    def __init__(self) -> None:
        self._state = PlaybackState()
        self._bytes_per_ms = 48.0

    def set_audio_format(self, encoding: AudioEncoding, sample_rate_hz: int) -> None:
        """What the bytes given to `on_play_bytes` are; PCM16 at 24 kHz until told.

        Raises:
            ValueError: the rate is not positive.
        """
        if sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz must be positive, not {sample_rate_hz}")
        self._bytes_per_ms = _BYTES_PER_SAMPLE[encoding] * sample_rate_hz / 1000

    def on_play_bytes(self, item_id: str, content_index: int, data: bytes) -> None:
        """These bytes were played."""
        self.on_play_ms(item_id, content_index, len(data) / self._bytes_per_ms)

    def on_play_ms(self, item_id: str, content_index: int, ms: float) -> None:
        """This much more was played."""
        state = self._state
        is_same = (state.current_item_id, state.current_item_content_index) == (
            item_id,
            content_index,
        )
        elapsed_ms = state.elapsed_ms if is_same else 0.0
        self._state = PlaybackState(item_id, content_index, elapsed_ms + ms)

    def on_interrupted(self) -> None:
        """Playing stopped; what was played of it counts no more."""
        self._state = PlaybackState()

    def get_state(self) -> PlaybackState:
        """What has been played by now."""
        return self._state
