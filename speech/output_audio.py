"""`OutputAudioBuffer`: the playout of replies by the server itself, on transports that have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class HeardItem(NamedTuple):
    """A reply that was playing or waiting, and the milliseconds of it that were heard."""

    item_id: str
    content_index: int
    heard_ms: int


class OutputAudioBuffer(Protocol):
    """Over WebRTC the client has no audio to drop: the server falls silent, and knows what was heard."""

    def clear(self) -> Sequence[HeardItem]:
        """Fall silent and emit `output_audio_buffer.cleared`, if anything was playing or waiting."""
        ...
