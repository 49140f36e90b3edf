"""`RealtimePlaybackTracker`: how much of which reply an application has really played.

For those who play model audio themselves instead of through a channel of ours: with a tracker in
`RealtimeModelConfig.playback_tracker`, a model that takes what was heard is told by it. An agent keeps
one too (`RealtimeKitAgent.playback_tracker`), fed with what its listeners have heard. Names and
arguments are those of the OpenAI Agents SDK, whose tracker serves as well.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypedDict

from realtime.events import AudioDelta, AudioDone, ModelEvent, TruncateItem
from utils import BoundedDict

_PCM: Final = ("pcm16", "pcm", "audio/pcm")
_G711: Final = (
    *("g711_ulaw", "g711_alaw", "audio/pcmu", "audio/pcma"),
    *("pcmu", "pcma"),
)
_REMEMBERED: Final = 64


class RealtimePlaybackState(TypedDict):
    """The content part in playback; all None when there is none."""

    current_item_id: str | None
    current_item_content_index: int | None
    elapsed_ms: float | None


class PlaybackTracker(Protocol):
    """The part of a tracker that the model needs."""

    def get_state(self) -> Mapping[str, Any]:
        """Return a `RealtimePlaybackState`."""
        ...

    def on_interrupted(self) -> None:
        """Playing stopped."""
        ...


class RealtimePlaybackTracker:
    """Adds up what the application reports, from any thread; a new content part starts at zero."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: tuple[str, int] | None = None
        self._elapsed_ms = 0.0
        self._bytes_per_ms = 48.0

    def set_audio_format(
        self,
        format: Any,  # noqa: A002 - its name in the Agents SDK
        sample_rate_hz: int | None = None,
    ) -> None:
        """Set the format of the bytes given to `on_play_bytes`; the default is PCM16 at 24 kHz.

        format: `pcm16`, `g711_ulaw`, `g711_alaw`, or as the wire has it (`{"type": "audio/pcm", "rate":
            24000}`), as an object or a mapping

        Raises:
            ValueError: the format is unknown, or the rate is not positive.
        """
        if isinstance(format, Mapping):
            name, given = format.get("type"), format.get("rate")
        else:
            name, given = getattr(format, "type", format), getattr(format, "rate", None)
        if name not in _PCM and name not in _G711:
            raise ValueError(f"format: need pcm16, g711_ulaw or g711_alaw, not {str(name)[:64]!r}")
        is_pcm = name in _PCM
        rate_hz = sample_rate_hz if sample_rate_hz is not None else given
        rate_hz = rate_hz if rate_hz is not None else (24_000 if is_pcm else 8_000)
        if rate_hz <= 0:
            raise ValueError(f"sample_rate_hz must be positive, not {rate_hz}")
        self._bytes_per_ms = (2 if is_pcm else 1) * rate_hz / 1000

    def on_play_bytes(
        self,
        item_id: str,
        item_content_index: int,
        bytes: bytes,  # noqa: A002 - its name in the Agents SDK
    ) -> None:
        """These bytes were played."""
        self.on_play_ms(item_id, item_content_index, len(bytes) / self._bytes_per_ms)

    def on_play_ms(self, item_id: str, item_content_index: int, ms: float) -> None:
        """This much more was played.

        Raises:
            ValueError: `ms` is negative or no number.
        """
        if not (math.isfinite(ms) and ms >= 0):
            raise ValueError(f"ms: need the milliseconds played, not {ms}")
        with self._lock:
            if self._current != (item_id, item_content_index):
                self._current, self._elapsed_ms = (item_id, item_content_index), 0.0
            self._elapsed_ms += ms

    def on_interrupted(self) -> None:
        """Playing stopped; what was played of it counts no more."""
        with self._lock:
            self._current = None

    def get_state(self) -> RealtimePlaybackState:
        """Return the playback position of now."""
        with self._lock:
            item_id, index = self._current or (None, None)
            return {
                "current_item_id": item_id,
                "current_item_content_index": index,
                "elapsed_ms": None if item_id is None else self._elapsed_ms,
            }


class PlaybackTruncation:
    """Truncation of a model's items where an application's playback was interrupted."""

    def __init__(self, tracker: PlaybackTracker) -> None:
        self._tracker = tracker
        # By content part: milliseconds received, and whether that is all.
        self._received: BoundedDict[tuple[str, int], float] = BoundedDict(_REMEMBERED)
        self._done: BoundedDict[tuple[str, int], None] = BoundedDict(_REMEMBERED)

    def handle(self, event: ModelEvent) -> None:
        """The model said something."""
        match event:
            case AudioDelta():
                part = (event.item_id, event.content_index)
                ms = len(event.pcm) / 2 * 1000 / event.sample_rate_hz
                self._received[part] = self._received.get(part, 0.0) + ms
            case AudioDone():
                self._done[event.item_id, event.content_index] = None
            case _:
                pass

    def interrupt(self) -> TruncateItem | None:
        """Playing stopped; return the cut, unless nothing played or all of it was heard."""
        state = self._tracker.get_state()
        self._tracker.on_interrupted()
        part = (state["current_item_id"], state["current_item_content_index"])
        received_ms = self._received.get(part)
        if received_ms is None:
            return None
        elapsed_ms = min(max(state["elapsed_ms"] or 0.0, 0.0), received_ms)
        if elapsed_ms >= received_ms and part in self._done:
            return None
        return TruncateItem(*part, int(elapsed_ms), "")
