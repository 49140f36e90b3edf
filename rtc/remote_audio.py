"""What one participant says, as a continuous stream of 20 ms frames of PCM16.

It outlives peer connections: when one is replaced, the stream goes on. While the participant is
connected and sends nothing (muted, DTX, a stalled network), silence fills the stream in real time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, assert_never

from rtc.aiortc_adapter import RtpPacket
from rtc.jitter import (
    RTP_CLOCK_HZ,
    Conceal,
    Decode,
    Instruction,
    JitterBuffer,
    JitterStatistics,
    Recover,
    Restart,
)
from rtc.opus import OpusDecoder, OpusError, packet_samples
from utils import PcmDump

FRAME_MS: Final = 20
FRAME_S: Final = FRAME_MS / 1000
# A gap is filled once it is 60 ms since the last packet of 20 ms.
FILL_AFTER_S: Final = 0.040
MAX_WAITING_FRAMES: Final = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PcmAudioFrame:
    """20 ms of a participant's voice. received_at: loop time (monotonic, seconds) of its packet."""

    pcm: bytes
    sample_rate_hz: int
    uid: int
    received_at: float


@dataclass
class RemoteAudioStatistics:
    """Counts since the participant joined."""

    jitter: JitterStatistics = field(default_factory=JitterStatistics)
    frames: int = 0
    recovered: int = 0
    concealed: int = 0
    filled: int = 0
    corrupt: int = 0
    dropped: int = 0
    last_packet_at_s: float | None = None


class RemoteAudio:
    """Packets of `uid` in, frames out. One reader at a time; a slow one loses the oldest frames."""

    def __init__(self, uid: int, sample_rate_hz: int, dump: PcmDump | None = None) -> None:
        self.uid = uid
        self.is_subscribed = False
        self.statistics = RemoteAudioStatistics()
        self._sample_rate_hz = sample_rate_hz
        self._frame_bytes = sample_rate_hz * FRAME_MS // 1000 * 2
        self._silence = bytes(self._frame_bytes)
        self._dump = dump
        self._loop = asyncio.get_running_loop()
        self._jitter = JitterBuffer(self.statistics.jitter)
        self._decoder = OpusDecoder(sample_rate_hz)
        self._ssrc: int | None = None
        # Decoded audio that does not fill a frame yet.
        self._rest = bytearray()
        self._frames: deque[PcmAudioFrame] = deque()
        self._wake = asyncio.Event()
        self._is_closed = False
        self._is_connected = False
        # Loop time up to which the stream has audio; gaps are measured from here.
        self._covered_until_s = 0.0
        self._is_filling = False
        self._fill_timer: asyncio.TimerHandle | None = None
        self._gap_timer: asyncio.TimerHandle | None = None

    def subscribe(self) -> None:
        """Start to decode; until then packets are ignored. Idempotent."""
        self.is_subscribed = True
        self._start_filling()

    @property
    def reorder_wait_ms(self) -> float:
        """How long a missing packet is waited for at present."""
        return self._jitter.wait_s(self._loop.time()) * 1000

    def handle_packet(self, packet: RtpPacket) -> None:
        """Take a packet that has just arrived."""
        now_s = self._loop.time()
        self.statistics.last_packet_at_s = now_s
        if not self.is_subscribed or self._is_closed or not packet.payload:
            return
        if packet.ssrc != self._ssrc:
            self._start_over(packet.ssrc)
        instructions = self._jitter.add(
            packet.sequence_number, packet.timestamp, packet.payload, now_s
        )
        self._play(instructions, now_s)
        self._arm_gap_timer()

    def handle_connected(self) -> None:
        """From now on silence is filled."""
        self._is_connected = True
        self._start_filling()

    def handle_disconnected(self) -> None:
        """The media connection is gone: nothing is filled until it is back."""
        self._is_connected = False
        if self._fill_timer is not None:
            self._fill_timer.cancel()
            self._fill_timer = None

    async def frames(self) -> AsyncIterator[PcmAudioFrame]:
        """Frames as they come, until the participant has left."""
        self.subscribe()
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._is_closed:
                return
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        """The participant left; readers end after what waits. Idempotent."""
        self._is_closed = True
        self.handle_disconnected()
        if self._gap_timer is not None:
            self._gap_timer.cancel()
        if self._dump is not None:
            self._dump.close()
        self._decoder.close()
        self._wake.set()

    # -- from packets to audio ------------------------------------------------------------------

    def _start_over(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._jitter = JitterBuffer(self.statistics.jitter)
        self._decoder.close()
        self._decoder = OpusDecoder(self._sample_rate_hz)

    def _arm_gap_timer(self) -> None:
        if self._gap_timer is not None:
            self._gap_timer.cancel()
            self._gap_timer = None
        if (deadline_s := self._jitter.deadline_s) is not None:
            self._gap_timer = self._loop.call_at(deadline_s, self._handle_gap_deadline)

    def _handle_gap_deadline(self) -> None:
        self._gap_timer = None
        now_s = self._loop.time()
        self._play(self._jitter.poll(now_s), now_s)
        self._arm_gap_timer()

    def _play(self, instructions: list[Instruction], now_s: float) -> None:
        for instruction in instructions:
            try:
                self._emit(self._decode(instruction), now_s)
            except OpusError as error:
                self.statistics.corrupt += 1
                logger.debug("a packet of %d does not decode: %s", self.uid, error)
        if instructions:
            self._covered_until_s = now_s + FRAME_S
            self._is_filling = False

    def _decode(self, instruction: Instruction) -> bytes:
        match instruction:
            case Decode(payload=payload):
                return self._decoder.decode(payload)
            case Recover(next_payload=payload, ticks=ticks):
                self.statistics.recovered += 1
                packet_samples(payload, self._sample_rate_hz)
                return self._decoder.decode_fec(payload, self._samples(ticks))
            case Conceal(ticks=ticks):
                self.statistics.concealed += 1
                pcm = self._decoder.conceal(self._samples(ticks))
                # Silence stands in the stream already where this would go.
                return b"" if self._is_filling else pcm
            case Restart():
                assert self._ssrc is not None
                self._decoder.close()
                self._decoder = OpusDecoder(self._sample_rate_hz)
                return b""
            case _:
                assert_never(instruction)

    def _samples(self, ticks: int) -> int:
        return ticks * self._sample_rate_hz // RTP_CLOCK_HZ

    def _emit(self, pcm: bytes, now_s: float) -> None:
        if not self._rest and len(pcm) == self._frame_bytes:
            self._put(pcm, now_s)
            return
        self._rest += pcm
        while len(self._rest) >= self._frame_bytes:
            self._put(bytes(self._rest[: self._frame_bytes]), now_s)
            del self._rest[: self._frame_bytes]

    def _put(self, pcm: bytes, now_s: float) -> None:
        if self._dump is not None:
            self._dump.write(pcm)
        if len(self._frames) >= MAX_WAITING_FRAMES:
            self._frames.popleft()
            self.statistics.dropped += 1
        self.statistics.frames += 1
        self._frames.append(PcmAudioFrame(pcm, self._sample_rate_hz, self.uid, now_s))
        self._wake.set()

    # -- silence --------------------------------------------------------------------------------

    def _start_filling(self) -> None:
        is_wanted = self._is_connected and self.is_subscribed and not self._is_closed
        if is_wanted and self._fill_timer is None:
            self._covered_until_s = self._loop.time()
            self._arm_fill_timer(self._covered_until_s + FILL_AFTER_S)

    def _arm_fill_timer(self, at_s: float) -> None:
        self._fill_timer = self._loop.call_at(at_s, self._fill)

    def _fill(self) -> None:
        now_s = self._loop.time()
        if self._is_filling or now_s >= self._covered_until_s + FILL_AFTER_S:
            self._is_filling = True
            while self._covered_until_s + FRAME_S <= now_s:
                self._covered_until_s += FRAME_S
                self._fill_frame(now_s)
            self._arm_fill_timer(self._covered_until_s + FRAME_S)
        else:
            self._arm_fill_timer(max(self._covered_until_s, now_s) + FILL_AFTER_S)

    def _fill_frame(self, now_s: float) -> None:
        self.statistics.filled += 1
        if self._rest:
            pcm = bytes(self._rest) + self._silence[len(self._rest) :]
            self._rest.clear()
            self._put(pcm, now_s)
        else:
            self._put(self._silence, now_s)
