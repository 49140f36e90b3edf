"""`TrackedPlayout`: the agent's voice as heard by the word of the application that plays it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from line.playout.buffer import PlayoutPosition
from line.playout.heard import Heard
from line.playout.outgoing import OutgoingStatistics
from realtime.playback import PlaybackTracker

POLL_S: Final = 0.02
MAX_PARTS: Final = 1_000
"""Content parts that are not played yet; of more, the oldest count as heard."""


@dataclass(slots=True)
class _Part:
    key: Hashable
    # Not played yet; kept for a recording only.
    pcm: bytearray = field(default_factory=bytearray)
    received_samples: int = 0
    played_samples: int = 0
    is_finished: bool = False

    @property
    def is_done(self) -> bool:
        return self.is_finished and self.played_samples >= self.received_samples


class TrackedPlayout:
    """Stands in for `line.playout.outgoing.Outgoing`: nothing is paced, positions are the tracker's.

    The tracker may be fed from any thread; it is read every `POLL_S` while anything is to be played.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        tracker: PlaybackTracker,
        *,
        on_started: Callable[[Hashable], None],
        on_done: Callable[[Hashable], None],
        on_sent: Callable[[bytes, float], None] | None,
    ) -> None:
        self._rate_hz = sample_rate_hz
        self._tracker = tracker
        self._on_started = on_started
        self._on_done = on_done
        self._on_sent = on_sent
        self._parts: list[_Part] = []
        self._heard: Heard | None = None
        self._played_samples = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Nothing is to be started."""

    async def close(self) -> None:
        """Stop reading the tracker. Idempotent."""
        self._parts.clear()
        self._stop_timer()

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Note audio that the application got."""
        part = self._part(key)
        part.received_samples += len(pcm) // 2
        if self._on_sent is not None:
            part.pcm += pcm
        if len(self._parts) > MAX_PARTS:
            self._end(self._parts[0])
        self._poll()

    def finish(self, key: Hashable) -> None:
        """Mark the audio of `key` as complete."""
        for part in self._parts:
            if part.key == key:
                part.is_finished = True
        self._poll()

    def pause(self) -> None:
        """Nothing: the application pauses by itself, and its tracker shows it."""

    def resume(self) -> None:
        """Nothing, see `pause`."""

    def clear(self) -> list[PlayoutPosition]:
        """Return where each key stood by the tracker, which is reset."""
        self._poll()
        positions = [self._position_of(part) for part in self._parts]
        self._parts.clear()
        self._stop_timer()
        self._tracker.on_interrupted()
        return positions

    def position(self) -> PlayoutPosition | None:
        """The position of the key that plays now; None in silence."""
        self._poll()
        if not self._parts or not self._parts[0].played_samples:
            return None
        return self._position_of(self._parts[0])

    @property
    def is_busy(self) -> bool:
        """True if something is not played yet."""
        return bool(self._parts)

    def until_frame_s(self, *, after_s: float) -> float:
        """Return `after_s`: no frames leave here."""
        return after_s

    def heard_by_all(self) -> Heard | None:
        """Return what was heard last by the tracker."""
        self._poll()
        return self._heard

    def heard(self, uid: int) -> Heard | None:  # noqa: ARG002 - there is one listener
        """Return what was heard last by the tracker."""
        return self.heard_by_all()

    def handle_playout_report(
        self, uid: int, *, playout_delay_ms: float, round_trip_ms: float | None
    ) -> None:
        """Nothing: the tracker is exact."""

    def handle_played_report(self, uid: int, key: Hashable, played_ms: float) -> None:
        """Nothing: the tracker is exact."""

    @property
    def statistics(self) -> OutgoingStatistics:
        """Counts since the start, and what is not played yet."""
        waiting = sum(part.received_samples - part.played_samples for part in self._parts)
        per_ms = self._rate_hz / 1000
        return OutgoingStatistics(
            queued_ms=waiting / per_ms, played_ms=self._played_samples / per_ms
        )

    def _part(self, key: Hashable) -> _Part:
        for part in self._parts:
            if part.key == key:
                return part
        self._parts.append(_Part(key))
        return self._parts[-1]

    def _position_of(self, part: _Part) -> PlayoutPosition:
        return PlayoutPosition(part.key, part.played_samples, self._rate_hz, part.is_done)

    def _poll(self) -> None:
        state = self._tracker.get_state()
        item_id = state["current_item_id"]
        if item_id is not None:
            index = state["current_item_content_index"]
            self._advance(item_id, index, state["elapsed_ms"] or 0.0)
        self._stop_timer()
        if self._parts:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(POLL_S, self._poll)

    def _advance(self, item_id: str, content_index: int, elapsed_ms: float) -> None:
        """Note that so much of this content part was played, and all before it."""
        for at, part in enumerate(self._parts):
            if isinstance(part.key, tuple) and part.key[1:] == (item_id, content_index):
                for earlier in self._parts[:at]:
                    self._end(earlier)
                self._play(part, int(elapsed_ms * self._rate_hz / 1000))
                return

    def _play(self, part: _Part, samples: int) -> None:
        more = min(samples, part.received_samples) - part.played_samples
        if more > 0:
            if not part.played_samples:
                self._on_started(part.key)
            part.played_samples += more
            self._played_samples += more
            self._heard = Heard(part.key, part.played_samples * 1000 / self._rate_hz)
            self._record(part, more)
        if part.is_done:
            self._parts.remove(part)
            self._on_done(part.key)

    def _end(self, part: _Part) -> None:
        part.is_finished = True
        self._play(part, part.received_samples)

    def _record(self, part: _Part, samples: int) -> None:
        if self._on_sent is not None:
            played = bytes(part.pcm[: samples * 2])
            del part.pcm[: samples * 2]
            now_s = asyncio.get_running_loop().time()
            self._on_sent(played, now_s - samples / self._rate_hz)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
