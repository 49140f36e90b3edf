"""What we reach into of aiortc's sender. A test fails loudly when it changes beneath.

- Packets come encoded: no codec, no thread, no media frame in between.
- RTP's marker bit is set at the start of a talk-spurt, where aiortc sets it on every packet.
- Sender reports carry the time in which they leave, where aiortc repeats the last packet's: the
  other side can then map RTP time to the clock through silences, and each report can be told apart.
- Receiver reports are told, with round trips measured on the monotonic clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCRtpSender, clock
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket

from rtc.flight import ReceiverReport, RoundTripMeter
from rtc.playout_pace import RTP_CLOCK_HZ
from rtc.sender_track import OpusTrack

_HOOKS: Final = ("_next_encoded_frame", "_handle_rtcp_packet", "_send_rtcp")


class _UnmarkedPayload(list[bytes]):
    """aiortc marks the last payload of a media frame; this one seems to have another after it."""

    def __len__(self) -> int:
        return super().__len__() + 1


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
        self._meter = RoundTripMeter()
        self._handle_rtcp = self._sender._handle_rtcp_packet  # noqa: SLF001
        self._send = self._sender._send_rtcp  # noqa: SLF001

    async def next_encoded_frame(self, _codec: object) -> RTCEncodedFrame | None:
        packet = await self._track.next_packet()
        if not self._sender._enabled:  # noqa: SLF001
            return None
        payloads = [packet.payload] if packet.is_spurt_start else _UnmarkedPayload([packet.payload])
        return RTCEncodedFrame(payloads, packet.ticks, None)  # type: ignore[arg-type]

    async def send_rtcp(self, packets: list[Any]) -> None:
        for packet in packets:
            # Before the first packet there is no RTP time to tell.
            if isinstance(packet, RtcpSrPacket) and packet.sender_info.packet_count:
                packet.sender_info = _brought_up_to(clock.current_ntp_time(), packet.sender_info)
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


def feed_sender(
    sender: RTCRtpSender, track: OpusTrack, on_report: Callable[[ReceiverReport], None]
) -> None:
    """Send what `track` gives. Call before the connection starts.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    if missing := [name for name in _HOOKS if not hasattr(sender, name)]:
        raise RuntimeError(f"unknown aiortc: RTCRtpSender has no {', '.join(missing)}")
    hooks = _SenderHooks(sender, track, on_report)
    replaced = (hooks.next_encoded_frame, hooks.handle_rtcp_packet, hooks.send_rtcp)
    for name, hook in zip(_HOOKS, replaced, strict=True):
        setattr(sender, name, hook)


def _brought_up_to(ntp: int, info: RtcpSenderInfo) -> RtcpSenderInfo:
    """The same report at another time: RTP time goes on with the clock."""
    elapsed_ticks = (ntp - info.ntp_timestamp) * RTP_CLOCK_HZ >> 32
    return RtcpSenderInfo(
        ntp_timestamp=ntp,
        rtp_timestamp=(info.rtp_timestamp + elapsed_ticks) & 0xFFFFFFFF,
        packet_count=info.packet_count,
        octet_count=info.octet_count,
    )


def _stamp(ntp: int) -> int:
    """The part of an NTP time that receiver reports repeat."""
    return ntp >> 16 & 0xFFFFFFFF


def _now_s() -> float:
    return asyncio.get_running_loop().time()
