"""Audio of one participant as a continuous stream of 20 ms frames of PCM16.

It outlives peer connections: when one is replaced, the stream goes on. While the participant is
connected and sends nothing (muted, DTX, a stalled network), silence fills the stream in real time,
after some seconds in batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from audio import PcmDump
from line.audio_tap import AudioTap
from line.delivery import Delivery
from line.frames import MAX_WAITING_FRAMES, BatchHandler, PcmAudioFrame
from line.timing import HOLD_PACKETS, HOLD_S, PTIME_S
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.receive.decoder import VoiceDecoder
from rtc.receive.silence_hold import SilenceHold

# A timer this late was held up by our own process: packets may wait in the socket, so read first.
_LATE_TIMER_S: Final = 0.015
_READING_S: Final = 0.010
# How late the timer may be while packets may wait unopened: later than the next ones are opened.
_SLACK_S: Final = 0.2
_LEAST_SLACK_S: Final = HOLD_S + 2 * PTIME_S


class RemoteAudio:
    """Packets of `uid` in, frames out. One reader at a time; a slow one loses the oldest frames."""

    def __init__(
        self,
        uid: int,
        sample_rate_hz: int,
        dump: PcmDump | None = None,
        *,
        tap: AudioTap | None = None,
    ) -> None:
        self.uid = uid
        self.is_subscribed = False
        # Frames that the reader was too slow for.
        self.dropped = 0
        self.last_packet_at_s: float | None = None
        self._voice = VoiceDecoder(sample_rate_hz)
        self._hold = SilenceHold()
        self._max_held = HOLD_PACKETS
        self.statistics = self._voice.statistics
        self._dump = dump
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._frames: deque[PcmAudioFrame] = deque()
        self._wake = asyncio.Event()
        self._delivery: Delivery[PcmAudioFrame] | None = None
        self._is_closed = False
        self._is_connected = False
        self._timer: asyncio.TimerHandle | None = None

    def subscribe(self) -> None:
        """Start to decode; until then packets are ignored. Idempotent."""
        self.is_subscribed = True
        self._start_filling()

    @property
    def reorder_wait_ms(self) -> float:
        """The present wait for a missing packet after its successor came."""
        return self._voice.buffer.reorder_wait_s(self._loop.time()) * 1000

    @property
    def delay_ms(self) -> float:
        """The playout delay of the last packet relative to the quickest one."""
        return self._voice.buffer.delay_ms

    def hold_silence(self, after_s: float | None, max_frames: int = HOLD_PACKETS) -> None:
        """Let frames wait for one another in silence (see `SilenceHold`); None: each comes at once.

        max_frames: so many are read together
        """
        self._hold.after_s = after_s
        self._max_held = max_frames
        if after_s is None:
            self._end_hold()

    def handle_packet(self, packet: RtpPacket) -> int | None:
        """Take a packet that has arrived; returns what a `PacketSink` does."""
        ssrc, sequence_number, timestamp, payload, arrived_s, is_silent, has_next = packet
        now_s = self._loop.time() if arrived_s is None else arrived_s
        self.last_packet_at_s = now_s
        if not self.is_subscribed or self._is_closed or not payload:
            return None
        voice = self._voice
        if voice.buffer.is_idle:
            self._play(now_s)
        frames = voice.add_and_take(ssrc, sequence_number, timestamp, payload, now_s)
        self._put(frames, now_s, has_next=has_next)
        self._arm_timer(is_urgent=not (is_silent or voice.buffer.is_empty))
        return self._hold.silent_from

    def handle_connected(self) -> None:
        """From now on the stream has no gaps."""
        self._is_connected = True
        self._start_filling()

    def handle_disconnected(self) -> None:
        """The media connection is gone: nothing is filled until it is back."""
        self._is_connected = False
        self._voice.buffer.stop_filling()
        self._end_hold()
        self._arm_timer()

    async def frames(self) -> AsyncIterator[PcmAudioFrame]:
        """Frames as they come, until the participant has left."""
        self.subscribe()
        while await self._has_more():
            while self._frames:
                yield self._frames.popleft()

    async def deliver(self, handle: BatchHandler) -> None:
        """Have `handle` take all that waits, until the participant has left or it returns False.

        It begins in the step in which a frame came, as if the task that calls this had been woken there.
        """
        self.subscribe()
        self._delivery = delivery = Delivery(self._frames, handle)
        if self._is_closed:
            delivery.offer()
            delivery.end()
        try:
            await delivery.run()
        finally:
            self._delivery = None

    async def _has_more(self) -> bool:
        """Wait for a frame; False: there will be none."""
        while not self._frames:
            if self._is_closed:
                return False
            self._wake.clear()
            await self._wake.wait()
        return True

    def close(self) -> None:
        """The participant left; readers end after what waits. Idempotent."""
        self._is_closed = True
        self.handle_disconnected()
        if self._dump is not None:
            self._dump.close()
        self._voice.close()
        self._hand_on()
        if self._delivery is not None:
            self._delivery.end()

    def _start_filling(self) -> None:
        if self._is_connected and self.is_subscribed and not self._is_closed:
            self._voice.buffer.start_filling(self._loop.time())
            self._arm_timer()

    def _play(self, now_s: float) -> None:
        is_idle = self._voice.buffer.is_idle
        self._put(self._voice.take(now_s), now_s, is_idle=is_idle)
        self._arm_timer(is_urgent=not self._voice.buffer.is_empty)

    def _arm_timer(self, *, is_urgent: bool = False) -> None:
        """is_urgent: a packet waits of which it is not known that it is silent."""
        next_s = None if self._is_closed else self._voice.next_s
        if next_s is not None and self._hold.may_wait and not is_urgent:
            # In silence it may be late, and so need not be set anew for each packet.
            slack_s = 0.0 if self._timer is None else self._timer.when() - next_s
            if _LEAST_SLACK_S <= slack_s <= _SLACK_S:
                return
            next_s += _SLACK_S
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if next_s is not None:
            self._timer = self._loop.call_at(next_s, self._handle_timer, next_s)

    def _handle_timer(self, due_s: float) -> None:
        now_s = self._loop.time()
        if now_s - due_s > _LATE_TIMER_S:
            self._timer = self._loop.call_later(_READING_S, self._play_late)
        else:
            self._play(max(now_s, due_s))

    def _play_late(self) -> None:
        self._play(self._loop.time())

    def _put(
        self, frames: list[bytes], now_s: float, *, is_idle: bool = False, has_next: bool = False
    ) -> None:
        """Give the reader what was played just now, unless it may wait, or more comes in this step."""
        if not frames:
            return
        rate_hz = self._voice.sample_rate_hz
        for pcm in frames:
            if self._dump is not None:
                self._dump.write(pcm)
            if self._tap is not None:
                self._tap.handle_received_audio(self.uid, pcm, now_s)
            if len(self._frames) >= MAX_WAITING_FRAMES:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append(PcmAudioFrame(pcm, rate_hz, self.uid, now_s, is_idle))
        if not self._may_wait() and not has_next:
            self._hand_on()

    def _may_wait(self) -> bool:
        """True if the frames played just now, with all that wait for the reader, may wait for more."""
        hold, level = self._hold, self._voice.level
        if hold.after_s is None:
            return False
        if level is None:
            hold.interrupt()
        else:
            hold.note(level)
        # The last frame comes a little sooner or later than it is due.
        max_age_s = (self._max_held - 1.5) * PTIME_S
        return hold.may_wait and self._loop.time() - self._frames[0].received_at < max_age_s

    def _end_hold(self) -> None:
        self._hold.interrupt()
        if self._frames:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._delivery is None:
            self._wake.set()
        else:
            self._delivery.offer()
