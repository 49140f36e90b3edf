"""The agent's audio: playout buffer, sender and clock behind one interface, and what was heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace

from audio import PcmDump
from line.playout.audience import Audience
from line.playout.buffer import PlayoutBuffer, PlayoutFrame, PlayoutPosition
from line.playout.clock import PlayoutClock
from line.playout.heard import Heard
from line.playout.listener_delay import ListenerDelay, SentAudioLog, SentSpan
from line.playout.pacer import Slot
from line.playout.sender import PlayoutSender
from line.sounds.bed import SoundBed
from line.sounds.clip import Clip
from line.timing import PTIME_S


@dataclass(frozen=True)
class OutgoingStatistics:
    """Figures of the agent's audio. stalls: talk-spurts that had to begin anew because a frame was late"""

    queued_ms: float = 0.0
    played_ms: float = 0.0
    frames_sent: int = 0
    underruns: int = 0
    overrun_ms: float = 0.0
    stalls: int = 0


class Outgoing:
    """Queues and paces the agent's audio for its audiences; all times are loop times."""

    def __init__(
        self,
        sample_rate_hz: int,
        *,
        audiences: list[Audience],
        on_started: Callable[[Hashable], None],
        on_done: Callable[[Hashable], None],
        on_sent: Callable[[bytes, float], None] | None,
        dump: PcmDump | None,
    ) -> None:
        """audiences: more may be added at any time; on_sent: gets each frame with the voice in it, alone, and
        when it is heard. No callback may raise or block.
        """
        self._rate_hz = sample_rate_hz
        self._audiences = audiences
        self._log = SentAudioLog(self._rate_hz)
        self._on_sent = on_sent
        # When the last frame with sound was due, and how long the talk-spurt of it is on its way.
        self._last_due_s = float("-inf")
        self._spurt_delay_s = 0.0
        self._buffer = PlayoutBuffer(self._rate_hz)
        self._bed = SoundBed(self._rate_hz)
        self._sender = PlayoutSender(
            self._buffer,
            on_frame=self._handle_frame,
            on_started=on_started,
            on_done=on_done,
            dump=dump,
            bed=self._bed,
        )
        self._clock = PlayoutClock(self._sender)

    def start(self) -> None:
        """Begin to play. Must be called on the loop."""
        self._clock.start()

    async def close(self) -> None:
        """Stop at once. Idempotent."""
        await self._clock.close()

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio; it leaves at once when nothing was playing."""
        self._clock.push(key, pcm)

    def finish(self, key: Hashable) -> None:
        """Mark the audio of `key` as complete."""
        self._clock.finish(key)

    def pause(self) -> None:
        """Fall silent now as `clear` does, and drop nothing."""
        self._clock.pause()

    def resume(self) -> None:
        """Go on with the very next sample, at once."""
        self._clock.resume()

    def clear(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key stood, with what of it is still on its way."""
        return [self._with_in_flight(position) for position in self._clock.clear()]

    def set_background(self, clip: Clip | None, *, duck_db: float = 0.0) -> None:
        """Have a sound under the voice and in silences; None: no longer."""
        self._bed.set_background(clip, duck_db=duck_db)
        self._clock.wake()

    def play_sound(self, clip: Clip) -> None:
        """Play a single sound until its end, `stop_sound` or the voice."""
        self._bed.play(clip)
        self._clock.wake()

    def stop_sound(self) -> None:
        """Fade it out within the next frame. Idempotent."""
        self._bed.stop()

    def position(self) -> PlayoutPosition | None:
        """The position of the key that plays now; None in silence."""
        position = self._buffer.position
        return None if position is None else self._with_in_flight(position)

    @property
    def delay_s(self) -> float:
        """From leaving to being heard by the last of all who are connected."""
        delays = (
            delay.delay_s + audience.codec_s
            for audience in self._audiences
            for delay in audience.delays().values()
        )
        return max(delays, default=0.0)

    def heard_by_all(self) -> Heard | None:
        """Return what every connected listener has heard by now; None: nothing lately."""
        return self._heard(self.delay_s)

    def heard(self, uid: int) -> Heard | None:
        """Return what `uid` hears when an event that is sent to it now arrives; None: nothing lately.

        The way through the network is left out of the delay: the event takes it too.
        """
        for delay, codec_s in self._delays_of(uid):
            return self._heard(delay.playout_s + codec_s)
        return None

    def _delays_of(self, uid: int) -> Iterator[tuple[ListenerDelay, float]]:
        """The delay of this listener, at most one, and that of its codec."""
        for audience in self._audiences:
            if (delay := audience.delays().get(uid)) is not None:
                yield delay, audience.codec_s

    def _heard(self, delay_s: float) -> Heard | None:
        found = self._log.heard_at(self._now_s(), delay_s)
        if found is None:
            return None
        key, samples = found
        return Heard(key, samples * 1000 / self._rate_hz)

    @property
    def statistics(self) -> OutgoingStatistics:
        """Counts since the start, and the queue of now."""
        counts, per_ms = self._buffer.statistics, self._rate_hz / 1000
        return OutgoingStatistics(
            queued_ms=self._buffer.queued_ms,
            played_ms=counts.played_samples / per_ms,
            frames_sent=self._sender.frames_sent,
            underruns=counts.underruns,
            overrun_ms=counts.overrun_samples / per_ms,
            stalls=self._sender.stalls,
        )

    @property
    def is_busy(self) -> bool:
        """True if audio is queued, being sent, in flight to a listener, or still expected."""
        buffer = self._buffer
        is_in_flight = self._log.last_at_s + self.delay_s > self._now_s()
        return buffer.queued_ms > 0 or buffer.is_expecting or is_in_flight

    def until_frame_s(self, *, after_s: float) -> float:
        """From now to about `after_s` later, but when a frame leaves anyway: to wake up once is cheaper
        than twice.
        """
        next_s = self._sender.next_s
        if next_s is None:
            return after_s
        return max(0.0, next_s - self._now_s()) + (round(after_s / PTIME_S) - 1) * PTIME_S

    def handle_playout_report(
        self, uid: int, *, playout_delay_ms: float, round_trip_ms: float | None
    ) -> None:
        """The word of `uid` on the delay of its own buffers, and on its round trip to us."""
        for delay, _ in self._delays_of(uid):
            round_trip_s = None if round_trip_ms is None else round_trip_ms / 1000
            delay.handle_playout(playout_delay_ms / 1000, round_trip_s)

    def handle_played_report(self, uid: int, key: Hashable, played_ms: float) -> None:
        """The word of `uid` that it has just played so much of `key`; too old ones are ignored."""
        left_s = self._log.left_at(key, int(played_ms * self._rate_hz / 1000))
        if left_s is None:
            return
        for delay, codec_s in self._delays_of(uid):
            # The report came through the network as the sound did.
            age_s = self._now_s() - left_s
            delay.handle_playout(age_s - 2 * delay.network_s - codec_s, None)

    def _handle_frame(self, frame: PlayoutFrame, slot: Slot) -> None:
        for audience in self._audiences:
            audience.play(frame, slot)
        if not frame.parts:
            return
        now_s = self._now_s()
        for part in frame.parts:
            offset_s = part.offset / self._rate_hz
            at_s, left_s = slot.due_s + offset_s, now_s + offset_s
            self._log.add(SentSpan(part.key, part.first_sample, part.samples, at_s, left_s))
        if self._on_sent is not None:
            voice = frame.pcm if frame.voice is None else frame.voice
            self._on_sent(voice, slot.due_s + self._delay_of_spurt_s(slot))

    def _delay_of_spurt_s(self, slot: Slot) -> float:
        """Return the delay for a whole spurt: a later, better estimate must not tear it apart."""
        if slot.due_s - self._last_due_s > 2 * PTIME_S:
            self._spurt_delay_s = self.delay_s
        self._last_due_s = slot.due_s
        return self._spurt_delay_s

    def _with_in_flight(self, position: PlayoutPosition) -> PlayoutPosition:
        in_flight = self._log.in_flight_samples(position.key, self._now_s(), self.delay_s)
        return replace(position, in_flight_samples=in_flight)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()
