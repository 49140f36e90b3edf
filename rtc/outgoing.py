"""Our voice: the playout clock, and what each listener has heard of what left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rtc.flight import Departure, DepartureLog, ListenerDelay
from rtc.options import RtcOptions
from rtc.opus import OpusEncoder
from rtc.playout import PlayoutBuffer, PlayoutFrame, PlayoutPosition
from rtc.playout_clock import PlayoutClock
from rtc.playout_line import PlayoutLine
from rtc.playout_pace import PTIME_S, Slot
from utils import PcmDump


@dataclass(frozen=True)
class Heard:
    """What a listener heard last: `heard_ms` of the audio of `key`."""

    key: Any
    heard_ms: float


class Outgoing:
    """Wraps the playout clock; all times are loop times."""

    def __init__(
        self,
        options: RtcOptions,
        *,
        listeners: Callable[[], Mapping[int, ListenerDelay]],
        on_packet: Callable[[bytes, int], None],
        on_started: Callable[[Hashable], None],
        on_done: Callable[[Hashable], None],
        on_sent: Callable[[bytes, float], None] | None,
        dump: PcmDump | None,
    ) -> None:
        """listeners: who is connected now, by uid; on_sent: gets each frame with sound and when it is
        heard. No callback may raise or block.
        """
        self._rate_hz = options.sample_rate_hz
        self._listeners = listeners
        self._log = DepartureLog(self._rate_hz)
        self._on_sent = on_sent
        # When the last frame with sound was due, and how long the talk-spurt of it is on its way.
        self._last_due_s = float("-inf")
        self._spurt_delay_s = 0.0
        encoder = OpusEncoder(
            self._rate_hz,
            bitrate_bps=options.bitrate_bps,
            complexity=options.complexity,
            expected_loss_percent=options.expected_loss_percent,
        )
        # Opus itself sounds that much later.
        self._codec_s = encoder.lookahead_samples / self._rate_hz
        line = PlayoutLine(
            PlayoutBuffer(self._rate_hz),
            encoder,
            on_packet=on_packet,
            on_frame=self._handle_frame,
            on_started=on_started,
            on_done=on_done,
            dump=dump,
        )
        self.clock = PlayoutClock(line)

    def start(self) -> None:
        """Begin to play. Must be called on the loop."""
        self.clock.start()

    async def close(self) -> None:
        """Stop at once. Idempotent."""
        await self.clock.close()

    def clear(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key stood, with what of it is still on its way."""
        return [self._with_flight(position) for position in self.clock.clear()]

    def position(self) -> PlayoutPosition | None:
        """Where the key that leaves now stands; None in silence."""
        position = self.clock.buffer.position
        return None if position is None else self._with_flight(position)

    @property
    def delay_s(self) -> float:
        """From leaving to being heard by the last of all who are connected."""
        delays = self._listeners().values()
        return max((delay.delay_s for delay in delays), default=0.0) + self._codec_s

    def heard_by_all(self) -> Heard | None:
        """What everybody who is connected has heard by now; None: nothing lately."""
        return self._heard(self.delay_s)

    def heard(self, uid: int) -> Heard | None:
        """What `uid` hears when an event that is sent to it now arrives; None: nothing lately.

        The way through the network is left out of the delay: the event takes it too.
        """
        if (delay := self._listeners().get(uid)) is None:
            return None
        return self._heard(delay.playout_s + self._codec_s)

    def _heard(self, delay_s: float) -> Heard | None:
        found = self._log.heard_at(self._now_s(), delay_s)
        if found is None:
            return None
        key, samples = found
        return Heard(key, samples * 1000 / self._rate_hz)

    @property
    def is_busy(self) -> bool:
        """Whether audio waits, leaves, is on its way to somebody's ear, or is still to come."""
        buffer = self.clock.buffer
        is_in_flight = self._log.last_at_s + self.delay_s > self._now_s()
        return buffer.queued_ms > 0 or buffer.is_expecting or is_in_flight

    def until_frame_s(self, *, after_s: float) -> float:
        """From now to about `after_s` later, but when a frame leaves anyway: to wake up once is cheaper
        than twice.
        """
        next_s = self.clock.line.next_s
        if next_s is None:
            return after_s
        return max(0.0, next_s - self._now_s()) + (round(after_s / PTIME_S) - 1) * PTIME_S

    def handle_playout_report(
        self, uid: int, *, playout_delay_ms: float, round_trip_ms: float | None
    ) -> None:
        """The word of `uid` on the delay of its own buffers, and on its round trip to us."""
        if (delay := self._listeners().get(uid)) is not None:
            round_trip_s = None if round_trip_ms is None else round_trip_ms / 1000
            delay.handle_playout(playout_delay_ms / 1000, round_trip_s)

    def handle_played_report(self, uid: int, key: Hashable, played_ms: float) -> None:
        """The word of `uid` that it has just played so much of `key`; too old ones are ignored."""
        delay = self._listeners().get(uid)
        left_s = self._log.left_at(key, int(played_ms * self._rate_hz / 1000))
        if delay is not None and left_s is not None:
            age_s = self._now_s() - left_s
            # The report came through the network as the sound did.
            delay.handle_playout(age_s - 2 * delay.network_s - self._codec_s, None)

    def _handle_frame(self, frame: PlayoutFrame, slot: Slot) -> None:
        now_s = self._now_s()
        for part in frame.parts:
            offset_s = part.offset / self._rate_hz
            at_s, left_s = slot.due_s + offset_s, now_s + offset_s
            self._log.add(Departure(part.key, part.first_sample, part.samples, at_s, left_s))
        if self._on_sent is not None:
            self._on_sent(frame.pcm, slot.due_s + self._delay_of_spurt_s(slot))

    def _delay_of_spurt_s(self, slot: Slot) -> float:
        """What is known better later must not tear a spurt apart."""
        if slot.due_s - self._last_due_s > 2 * PTIME_S:
            self._spurt_delay_s = self.delay_s
        self._last_due_s = slot.due_s
        return self._spurt_delay_s

    def _with_flight(self, position: PlayoutPosition) -> PlayoutPosition:
        in_flight = self._log.in_flight_samples(position.key, self._now_s(), self.delay_s)
        return replace(position, in_flight_samples=in_flight)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()
