"""What we reach into of aiortc's sender is still there; what leaves has the right marks and times."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import aiortc.rtcdtlstransport
import aiortc.rtcrtpsender
import pytest
from aiortc import RTCRtpSender, clock
from aiortc.codecs import get_capabilities
from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpSendParameters,
)
from aiortc.rtp import (
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSrPacket,
    RtpPacket,
    is_rtcp,
)

from rtc.aiortc_hooks.receiver_reports import ReceiverReport
from rtc.aiortc_hooks.sender import feed_sender
from rtc.aiortc_hooks.track import OpusTrack
from tests.deadlines import DEADLINE_S


class Wire:
    """Stands where aiortc has its encrypted transport, and keeps what would be sent."""

    state = "connected"
    _stats_id = "wire"

    def __init__(self) -> None:
        self.rtp: list[RtpPacket] = []
        self.sender_reports: list[RtcpSrPacket] = []
        self.is_gone = False
        self._news = asyncio.Event()

    def _register_rtp_sender(self, *_: object) -> None:
        """Nothing to route."""

    def _unregister_rtp_sender(self, *_: object) -> None:
        """Nothing to route."""

    async def _send_rtp(self, data: bytes) -> None:
        if self.is_gone:
            raise ConnectionError
        if is_rtcp(data):
            self.sender_reports += [
                packet for packet in RtcpPacket.parse(data) if isinstance(packet, RtcpSrPacket)
            ]
        else:
            self.rtp.append(RtpPacket.parse(data))
        self._news.set()

    async def wait_until_fed(self, track: OpusTrack) -> None:
        """Until the sender takes packets."""
        track.send(b"first", -960)
        await self.wait_until(lambda: bool(self.rtp))
        self.rtp.clear()

    async def wait_until(self, is_there: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_there():
                self._news.clear()
                await self._news.wait()


class Sending:
    """A real sender of aiortc, fed by us, on a `Wire`."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.track = OpusTrack()
        self.reports: list[ReceiverReport] = []
        self.sender = RTCRtpSender(self.track, self.wire)  # type: ignore[arg-type]
        feed_sender(self.sender, self.track, self.reports.append)

    async def start(self) -> None:
        opus = next(c for c in get_capabilities("audio").codecs if c.mimeType == "audio/opus")
        codec = RTCRtpCodecParameters(opus.mimeType, opus.clockRate, opus.channels, 96)
        parameters = RTCRtpSendParameters(
            codecs=[codec], muxId="0", rtcp=RTCRtcpParameters(cname="c")
        )
        await self.sender.send(parameters)

    async def send(self, *ticks: int) -> None:
        """Packets with these RTP times; returns when they are on the wire."""
        count = len(self.wire.rtp) + len(ticks)
        for one in ticks:
            self.track.send(b"opus %d" % one, one)
        await self.wire.wait_until(lambda: len(self.wire.rtp) >= count)

    async def answer(self, lsr: int, held_s: float, jitter: int = 0) -> None:
        """A receiver report for us, and one that is for somebody else."""
        ours = self.sender._ssrc
        reports = [
            RtcpReceiverInfo(ssrc, 64, 0, 0, jitter, lsr, int(held_s * 65_536))
            for ssrc in (ours, ours ^ 1)
        ]
        await self.sender._handle_rtcp_packet(RtcpRrPacket(ssrc=1, reports=reports))


@contextlib.asynccontextmanager
async def sending() -> AsyncIterator[Sending]:
    one = Sending()
    await one.start()
    try:
        yield one
    finally:
        one.track.stop()
        await one.sender.stop()


@pytest.mark.asyncio
async def test_packets_leave_as_they_are_and_only_a_spurts_first_is_marked() -> None:
    async with sending() as one:
        await one.send(0, 960, 1920, 48_000, 48_960)
        assert [p.payload for p in one.wire.rtp[:2]] == [b"opus 0", b"opus 960"]
        assert [p.marker for p in one.wire.rtp] == [1, 0, 0, 1, 0]
        first = one.wire.rtp[0]
        assert [(p.timestamp - first.timestamp) % 2**32 for p in one.wire.rtp] == [
            *(0, 960, 1920),
            *(48_000, 48_960),
        ]
        numbers = [(p.sequence_number - first.sequence_number) % 2**16 for p in one.wire.rtp]
        assert numbers == [0, 1, 2, 3, 4]


@pytest.mark.asyncio
async def test_packets_that_a_full_line_lost_leave_a_mark() -> None:
    async with sending() as one:
        for number in range(30):
            one.track.send(b"x", number * 960)
        assert one.track.dropped == 5
        await one.send(30 * 960)
        # Sequence numbers have no gap: only the mark tells that time has jumped.
        assert one.wire.rtp[0].marker == 1


@pytest.mark.asyncio
async def test_a_packet_leaves_in_the_step_that_made_it() -> None:
    async with sending() as one:
        await one.wire.wait_until_fed(one.track)
        one.track.send(b"at once", 0)
        assert [p.payload for p in one.wire.rtp] == [b"at once"]


@pytest.mark.asyncio
async def test_packets_carry_the_stream_they_belong_to() -> None:
    async with sending() as one:
        await one.send(0, 960)
        for packet in one.wire.rtp:
            assert (packet.version, packet.payload_type) == (2, 96)
            assert packet.ssrc == one.sender._ssrc
        assert one.wire.rtp[0].sequence_number < 2**15


@pytest.mark.asyncio
async def test_a_connection_that_is_gone_ends_the_track() -> None:
    async with sending() as one:
        await one.wire.wait_until_fed(one.track)
        one.wire.is_gone = True
        one.track.send(b"lost", 0)
        assert one.track.readyState == "ended"
        one.track.send(b"ignored", 960)
        assert not one.wire.rtp


@pytest.mark.asyncio
async def test_a_disabled_sender_sends_nothing() -> None:
    async with sending() as one:
        await one.wire.wait_until_fed(one.track)
        one.sender._enabled = False
        one.track.send(b"unheard", 0)
        one.sender._enabled = True
        await one.send(960)
        assert [p.payload for p in one.wire.rtp] == [b"opus 960"]


@pytest.mark.asyncio
async def test_each_sender_report_tells_rtp_time_at_its_own_moment() -> None:
    async with sending() as one:
        await one.send(0)
        await one.wire.wait_until(lambda: len(one.wire.sender_reports) >= 4)
        reports = [report.sender_info for report in one.wire.sender_reports[:4]]
        errors = []
        for earlier, later in pairwise(reports):
            elapsed_s = (later.ntp_timestamp - earlier.ntp_timestamp) / 2**32
            assert elapsed_s > 0.4, "reports of a silence repeat an old time"
            ticks = (later.rtp_timestamp - earlier.rtp_timestamp) % 2**32
            errors.append(abs(ticks - elapsed_s * 48_000))
        # A busy machine may stop the process between the readings of both clocks.
        assert min(errors) < 3
        first = reports[0]
        since_packet = (first.rtp_timestamp - one.wire.rtp[0].timestamp) % 2**32
        assert 0 <= since_packet < 48_000 * DEADLINE_S


@pytest.mark.asyncio
async def test_round_trips_are_measured_from_our_own_reports_alone() -> None:
    async with sending() as one:
        await one.send(0)
        await one.wire.wait_until(lambda: bool(one.wire.sender_reports))
        sent_s = asyncio.get_running_loop().time()
        stamp = one.wire.sender_reports[0].sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF
        await asyncio.sleep(0.05)
        await one.answer(stamp, held_s=0.01, jitter=480)
        await one.answer(stamp ^ 1, held_s=0.01)
        measured, unknown = one.reports
        elapsed_s = asyncio.get_running_loop().time() - sent_s
        assert measured.round_trip_s is not None
        assert 0.039 <= measured.round_trip_s <= elapsed_s
        assert (measured.jitter_s, measured.lost_share) == (0.01, 0.25)
        assert unknown.round_trip_s is None


@pytest.mark.asyncio
async def test_reports_before_the_first_packet_are_left_alone() -> None:
    async with sending() as one:
        await one.wire.wait_until(lambda: bool(one.wire.sender_reports))
        info = one.wire.sender_reports[0].sender_info
        assert (info.ntp_timestamp, info.packet_count) == (0, 0)
        assert clock.current_ntp_time() > 0


def test_the_sender_still_works_the_way_the_hooks_assume() -> None:
    source = inspect.getsource(aiortc.rtcrtpsender)
    for line in (
        "asyncio.ensure_future(self._run_rtp(parameters.codecs[0]))",
        "await asyncio.gather(self.__rtp_started.wait(), self.__rtcp_started.wait())",
        "await asyncio.gather(self.__rtp_exited.wait(), self.__rtcp_exited.wait())",
        "packet_bytes = packet.serialize(self.__rtp_header_extensions_map)",
        "await self.transport._send_rtp(packet_bytes)",
        "self.__mid = parameters.muxId",
        "await self._send_rtcp(packets)",
    ):
        assert line in source, (
            f"aiortc changed: {line!r} is gone, look at rtc/aiortc_hooks/sender.py"
        )
    transport = inspect.getsource(aiortc.rtcdtlstransport)
    assert "await recipient._handle_rtcp_packet(packet)" in transport


def test_an_unknown_aiortc_is_refused_loudly() -> None:
    stranger: Any = object()
    with pytest.raises(RuntimeError, match="unknown aiortc"):
        feed_sender(stranger, stranger, print)
