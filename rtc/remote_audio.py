"""What one participant says, as a continuous stream of 20 ms frames of PCM16.

It outlives peer connections: when one is replaced, the stream goes on. While the participant is
connected and sends nothing (muted, DTX, a stalled network), silence fills the stream in real time,
after some seconds in batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from rtc.aiortc_adapter import RtpPacket
from rtc.tap import AudioTap
from rtc.voice import Voice
from utils import PcmDump

MAX_WAITING_FRAMES: Final = 50
# A timer this late was held up by our own process: packets may wait in the socket, so read first.
_LATE_TIMER_S: Final = 0.015
_READING_S: Final = 0.010


class PcmAudioFrame(NamedTuple):
    """20 ms of a participant's voice. received_at: loop time (seconds) at which it was ready.

    is_idle: made up, like all of the last seconds, while the participant sent nothing.
    """

    pcm: bytes
    sample_rate_hz: int
    uid: int
    received_at: float
    is_idle: bool = False


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
        self._voice = Voice(sample_rate_hz)
        self.statistics = self._voice.statistics
        self._dump = dump
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._frames: deque[PcmAudioFrame] = deque()
        self._wake = asyncio.Event()
        self._is_closed = False
        self._is_connected = False
        self._timer: asyncio.TimerHandle | None = None

    def subscribe(self) -> None:
        """Start to decode; until then packets are ignored. Idempotent."""
        self.is_subscribed = True
        self._start_filling()

    @property
    def reorder_wait_ms(self) -> float:
        """How long a missing packet may come after its successor at present."""
        return self._voice.buffer.reorder_wait_s(self._loop.time()) * 1000

    @property
    def delay_ms(self) -> float:
        """How much later than the quickest packet the last one was to be played."""
        return self._voice.buffer.delay_ms

    def handle_packet(self, packet: RtpPacket) -> None:
        """Take a packet that has just arrived."""
        now_s = self._loop.time()
        self.last_packet_at_s = now_s
        if self.is_subscribed and not self._is_closed and packet.payload:
            if self._voice.buffer.is_idle:
                self._play(now_s)
            self._voice.add(
                packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload, now_s
            )
            self._play(now_s)

    def handle_connected(self) -> None:
        """From now on the stream has no gaps."""
        self._is_connected = True
        self._start_filling()

    def handle_disconnected(self) -> None:
        """The media connection is gone: nothing is filled until it is back."""
        self._is_connected = False
        self._voice.buffer.stop_filling()
        self._arm_timer()

    async def frames(self) -> AsyncIterator[PcmAudioFrame]:
        """Frames as they come, until the participant has left."""
        self.subscribe()
        while await self._has_more():
            while self._frames:
                yield self._frames.popleft()

    async def batches(self) -> AsyncIterator[list[PcmAudioFrame]]:
        """The same, all that wait at once: usually one."""
        self.subscribe()
        while await self._has_more():
            batch = list(self._frames)
            self._frames.clear()
            yield batch

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
        self._wake.set()

    def _start_filling(self) -> None:
        if self._is_connected and self.is_subscribed and not self._is_closed:
            self._voice.buffer.start_filling(self._loop.time())
            self._arm_timer()

    def _play(self, now_s: float) -> None:
        is_idle = self._voice.buffer.is_idle
        for pcm in self._voice.take(now_s):
            self._put(pcm, now_s, is_idle=is_idle)
        self._arm_timer()

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        next_s = None if self._is_closed else self._voice.next_s
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

    def _put(self, pcm: bytes, now_s: float, *, is_idle: bool = False) -> None:
        if self._dump is not None:
            self._dump.write(pcm)
        if self._tap is not None:
            self._tap.handle_received_audio(self.uid, pcm, now_s)
        if len(self._frames) >= MAX_WAITING_FRAMES:
            self._frames.popleft()
            self.dropped += 1
        rate_hz = self._voice.sample_rate_hz
        self._frames.append(PcmAudioFrame(pcm, rate_hz, self.uid, now_s, is_idle))
        self._wake.set()
