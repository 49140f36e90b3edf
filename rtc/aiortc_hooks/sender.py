"""Hooks into aiortc's sender. A test fails when aiortc changes them.

- Packets come encoded and leave in the step of the loop that made them: no codec, no thread, no
  media frame and no task in between.
- RTP's marker bit is set at the start of a talk-spurt, where aiortc sets it on every packet.
- Sender reports carry the time in which they leave, where aiortc repeats the last packet's: the
  other side can then map RTP time to the clock through silences, and each report is unique.
- Receiver reports are passed on, with round trips measured on the monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Any, Final

import pylibsrtp
from aiortc import RTCRtpSender, clock
from aiortc.rtp import RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket, RtpPacket
from aiortc.utils import random16, random32

from line.timing import RTP_CLOCK_HZ
from rtc.aiortc_hooks.receiver_reports import ReceiverReport, RoundTripMeter
from rtc.aiortc_hooks.run_sync import run_without_suspending
from rtc.aiortc_hooks.track import OpusPacket, OpusTrack

_HOOKS: Final = ("_run_rtp", "_handle_rtcp_packet", "_send_rtcp")
_PRIVATE: Final = ("rtp_started", "rtp_exited", "rtp_header_extensions_map", "mid")
_HEAD: Final = struct.Struct("!BBHLL")
_MARKER: Final = 0x80


class _Packets:
    """Opus packets as RTP (RFC 3550, section 5.1), numbered; and what was sent of them."""

    def __init__(self, template: RtpPacket, extensions: Any) -> None:
        """template: the stream's payload type, ssrc, and header extensions"""
        head = template.serialize(extensions)
        self._first, self._payload_type = head[0], template.payload_type
        self._extension = head[_HEAD.size :]
        self._ssrc = template.ssrc
        # RFC 3711, 3.3.1: a number that soon wraps, and a lost packet there, would confuse SRTP.
        self._number, self._origin = random16() & 0x7FFF, random32()
        self._last_ticks, self._last_s = 0, 0.0
        self.count = 0
        self._octets = 0

    def pack(self, packet: OpusPacket, now_s: float) -> bytes:
        """The next packet, as it leaves."""
        head = _HEAD.pack(
            self._first,
            self._payload_type | _MARKER * packet.is_spurt_start,
            (self._number + self.count) & 0xFFFF,
            (self._origin + packet.ticks) & 0xFFFFFFFF,
            self._ssrc,
        )
        self.count += 1
        self._octets += len(packet.payload)
        self._last_ticks, self._last_s = packet.ticks, now_s
        return head + self._extension + packet.payload

    def report(self, ntp: int, now_s: float) -> RtcpSenderInfo:
        """Return the sender info of a report that leaves now: RTP time goes on with the clock."""
        ticks = self._last_ticks + round((now_s - self._last_s) * RTP_CLOCK_HZ)
        return RtcpSenderInfo(
            ntp_timestamp=ntp,
            rtp_timestamp=(self._origin + ticks) & 0xFFFFFFFF,
            packet_count=self.count & 0xFFFFFFFF,
            octet_count=self._octets & 0xFFFFFFFF,
        )


class _SenderHooks:
    """Stands in for three methods of one sender."""

    def __init__(
        self,
        sender: RTCRtpSender,
        track: OpusTrack,
        on_report: Callable[[ReceiverReport], None],
    ) -> None:
        self._sender: Any = sender
        self._track = track
        self._on_report = on_report
        self._packets: _Packets | None = None
        self._meter = RoundTripMeter()
        self._handle_rtcp = self._sender._handle_rtcp_packet  # noqa: SLF001
        self._send = self._sender._send_rtcp  # noqa: SLF001

    async def run_rtp(self, codec: Any) -> None:
        """Send what the track gives, until it ends."""
        template = RtpPacket(payload_type=codec.payloadType)
        template.ssrc = self._sender._ssrc  # noqa: SLF001
        template.extensions.mid = self._private("mid")
        self._packets = _Packets(template, self._private("rtp_header_extensions_map"))
        self._private("rtp_started").set()
        self._track.deliver_to(self._send_packet)
        with contextlib.suppress(asyncio.CancelledError):
            await self._track.stopped.wait()
        self._track.stop()
        self._private("rtp_exited").set()

    def _send_packet(self, packet: OpusPacket) -> None:
        if self._packets is None or not self._sender._enabled:  # noqa: SLF001
            return
        data = self._packets.pack(packet, _now_s())
        try:
            run_without_suspending(self._sender.transport._send_rtp(data))  # noqa: SLF001
        except (ConnectionError, pylibsrtp.Error):
            # The connection is closing; the state watcher handles that.
            self._track.stop()

    async def send_rtcp(self, packets: list[Any]) -> None:
        for packet in packets:
            # Before the first packet there is no RTP time to report.
            if isinstance(packet, RtcpSrPacket) and self._packets and self._packets.count:
                packet.sender_info = self._packets.report(clock.current_ntp_time(), _now_s())
                self._meter.handle_sent(_stamp(packet.sender_info.ntp_timestamp), _now_s())
        await self._send(packets)

    async def handle_rtcp_packet(self, packet: Any) -> None:
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._sender._ssrc:  # noqa: SLF001
                    self._on_report(self._read(report))
        await self._handle_rtcp(packet)

    def _read(self, report: Any) -> ReceiverReport:
        return ReceiverReport(
            round_trip_s=self._meter.round_trip_s(report.lsr, report.dlsr, _now_s()),
            jitter_s=report.jitter / RTP_CLOCK_HZ,
            lost_share=report.fraction_lost / 256,
        )

    def _private(self, name: str) -> Any:
        return getattr(self._sender, _mangled(name))


def feed_sender(
    sender: RTCRtpSender, track: OpusTrack, on_report: Callable[[ReceiverReport], None]
) -> None:
    """Send what `track` gives. Call before the connection starts.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    needed = (*_HOOKS, *(_mangled(name) for name in _PRIVATE))
    if missing := [name for name in needed if not hasattr(sender, name)]:
        raise RuntimeError(f"unknown aiortc: RTCRtpSender has no {', '.join(missing)}")
    hooks = _SenderHooks(sender, track, on_report)
    replaced = (hooks.run_rtp, hooks.handle_rtcp_packet, hooks.send_rtcp)
    for name, hook in zip(_HOOKS, replaced, strict=True):
        setattr(sender, name, hook)


def _mangled(name: str) -> str:
    return f"_RTCRtpSender__{name}"


def _stamp(ntp: int) -> int:
    """The part of an NTP time that receiver reports repeat."""
    return ntp >> 16 & 0xFFFFFFFF


def _now_s() -> float:
    return asyncio.get_running_loop().time()
