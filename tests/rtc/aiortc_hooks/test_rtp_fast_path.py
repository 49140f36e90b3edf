"""RTP is handed on in the step in which it came; everything else goes aiortc's way."""

from __future__ import annotations

import asyncio
import inspect
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import aiortc.rtcdtlstransport
import pytest
import pytest_asyncio
from aiortc.rtp import HeaderExtensions, is_rtcp

from line.timing import HOLD_PACKETS
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.aiortc_hooks.rtp_fast_path import shorten_way_of_media
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.peer.peer import Peer, PeerCallbacks
from tests.deadlines import DEADLINE_S

SILENT = 80
ON_LOOPBACK = MediaOptions(network=MediaNetwork(bind_address="127.0.0.1"))


class Side:
    """A peer that notes what comes, and whether a task of aiortc brought it."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[tuple[RtpPacket, bool]] = asyncio.Queue()
        # What the reader answers each packet with.
        self.silent_from: int | None = None
        self.events: asyncio.Queue[str] = asyncio.Queue()
        callbacks = PeerCallbacks(
            on_packet=self._take,
            on_event=self.events.put_nowait,
            on_event_refused=self.events.put_nowait,
            on_path_dead=lambda: None,
        )
        self.peer = Peer("connection", (), ON_LOOPBACK, callbacks)

    def _take(self, packet: RtpPacket) -> int | None:
        self.packets.put_nowait((packet, _is_in_task()))
        return self.silent_from

    def send(self, number: int, level: int | None) -> None:
        """Send a packet that states an audio level, as browsers do; None: it states none."""
        hooks: Any = self.peer.track._on_packet.__self__  # type: ignore[union-attr]
        values = HeaderExtensions(mid="0", audio_level=None if level is None else (False, level))
        profile, value = hooks._sender.transport._rtp_header_extensions_map.set(values)
        hooks._packets._extension = struct.pack("!HH", profile, len(value) // 4) + value
        self.peer.track.send(b"opus %d" % number, number * 960)

    @property
    def inner(self) -> Any:
        transport: Any = self.peer._pc.getTransceivers()[0].receiver.transport.transport
        return transport._connection


def _is_in_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


@pytest_asyncio.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    """Two peers, connected."""
    one, other = Side(), Side()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await one.peer.accept(await other.peer.answer(await one.peer.offer()))
            await one.peer.connected.wait()
            await other.peer.connected.wait()
        yield one, other
    finally:
        await one.peer.close()
        await other.peer.close()


@pytest.mark.asyncio
async def test_packets_come_in_the_step_of_the_loop_that_read_them(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    async with asyncio.timeout(DEADLINE_S):
        for number in range(5):
            one.peer.track.send(b"opus %d" % number, number * 960)
        received = [await other.packets.get() for _ in range(5)]
    assert [packet.payload for packet, _ in received] == [b"opus %d" % n for n in range(5)]
    assert not any(is_in_task for _, is_in_task in received)


@pytest.mark.asyncio
async def test_what_is_forged_repeated_or_no_media_disturbs_nothing(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    datagrams: list[bytes] = []
    take = other.inner.data_received

    def take_twice(data: bytes, component: int) -> None:
        datagrams.append(data)
        take(data, component)
        take(data, component)

    other.inner.data_received = take_twice
    async with asyncio.timeout(DEADLINE_S):
        one.peer.track.send(b"first", 0)
        assert (await other.packets.get())[0].payload == b"first"
        for nonsense in (b"", b"\x80", b"\x80\x60" + bytes(30), datagrams[-1][:-1] + b"?"):
            take(nonsense, 1)
        one.peer.send_event("{}")
        assert await other.events.get() == "{}"
        one.peer.track.send(b"second", 960)
        assert (await other.packets.get())[0].payload == b"second"
    assert other.packets.empty()


@pytest.mark.asyncio
async def test_nothing_overtakes_what_waits_on_the_long_way(sides: tuple[Side, Side]) -> None:
    one, other = sides
    take = other.inner.data_received
    held: asyncio.Queue[bytes] = asyncio.Queue()

    def hold_media(data: bytes, component: int) -> None:
        is_media = 127 < data[0] < 192 and not is_rtcp(data)
        held.put_nowait(data) if is_media else take(data, component)

    other.inner.data_received = hold_media
    async with asyncio.timeout(DEADLINE_S):
        for number in range(2):
            one.peer.track.send(b"opus %d" % number, number * 960)
        other.inner._queue.put_nowait((await held.get(), 1))
        take(await held.get(), 1)
        received = [await other.packets.get() for _ in range(2)]
    assert [packet.payload for packet, _ in received] == [b"opus 0", b"opus 1"]


@pytest.mark.asyncio
async def test_a_stream_that_aiortc_has_routed_is_parsed_and_counted_here(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    routed: list[bytes] = []
    dtls: Any = other.peer._pc.getTransceivers()[0].receiver.transport
    shortcut: Any = other.inner.data_received.__self__
    route = shortcut._handle_rtp

    async def count_routed(data: bytes, arrival_time_ms: int) -> None:
        routed.append(data)
        await route(data, arrival_time_ms)

    shortcut._handle_rtp = count_routed
    async with asyncio.timeout(DEADLINE_S):
        for number in (0, 1, 2, 5):
            one.peer.track.send(b"opus %d" % number, number * 960)
            assert (await other.packets.get())[0].payload == b"opus %d" % number
    assert len(routed) == 1
    receiver: Any = other.peer._pc.getTransceivers()[0].receiver
    (counted,) = receiver._RTCRtpReceiver__remote_streams.values()
    assert (counted.packets_received, counted.packets_lost) == (4, 0)
    # One that was stopped, as aiortc stops it, is handed nothing any more.
    dtls._unregister_rtp_receiver(receiver)
    one.peer.track.send(b"opus 6", 6 * 960)
    one.peer.send_event("{}")
    async with asyncio.timeout(DEADLINE_S):
        assert await other.events.get() == "{}"
    assert other.packets.empty()


@pytest.mark.asyncio
async def test_another_payload_type_of_a_known_stream_is_left_to_aiortc(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    async with asyncio.timeout(DEADLINE_S):
        one.peer.track.send(b"first", 0)
        assert (await other.packets.get())[0].payload == b"first"
        hooks: Any = one.peer.track._on_packet.__self__  # type: ignore[union-attr]
        known, hooks._packets._payload_type = hooks._packets._payload_type, 35
        one.peer.track.send(b"of another codec", 960)
        hooks._packets._payload_type = known
        one.peer.track.send(b"second", 1920)
        assert (await other.packets.get())[0].payload == b"second"
    assert other.packets.empty()


async def _numbers(side: Side, count: int) -> list[RtpPacket]:
    async with asyncio.timeout(DEADLINE_S):
        return [(await side.packets.get())[0] for _ in range(count)]


async def _arrived(side: Side, count: int) -> None:
    """Until so many datagrams wait unopened."""
    fast_path: Any = side.inner.data_received.__self__
    async with asyncio.timeout(DEADLINE_S):
        while len(fast_path._held) < count:  # noqa: ASYNC110 - nothing is told of them
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_packets_that_are_called_silent_are_opened_together(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    one.send(0, SILENT)
    await _numbers(other, 1)
    other.silent_from = SILENT
    # The reader's word counts from the packet after the one that it answers.
    one.send(1, SILENT)
    await _numbers(other, 1)
    begun_s = time.monotonic()
    for number in range(2, 2 + HOLD_PACKETS - 1):
        one.send(number, SILENT)
    await _arrived(other, HOLD_PACKETS - 1)
    assert other.packets.empty()
    before_last_s = time.monotonic()
    one.send(1 + HOLD_PACKETS, SILENT)
    packets = await _numbers(other, HOLD_PACKETS)
    assert [packet.payload for packet in packets] == [
        b"opus %d" % number for number in range(2, 2 + HOLD_PACKETS)
    ]
    assert all(packet.is_silent for packet in packets)
    arrived = [packet.arrived_s or 0.0 for packet in packets]
    assert arrived == sorted(arrived)
    assert begun_s <= arrived[0] <= arrived[-2] <= before_last_s <= arrived[-1]


@pytest.mark.asyncio
@pytest.mark.parametrize("level", [SILENT - 1, 0, None])
async def test_a_packet_that_is_not_called_silent_takes_all_before_it_along(
    sides: tuple[Side, Side], level: int | None
) -> None:
    one, other = sides
    other.silent_from = SILENT
    one.send(0, SILENT)
    one.send(1, SILENT)
    await _numbers(other, 2)
    one.send(2, SILENT)
    one.send(3, SILENT)
    await _arrived(other, 2)
    one.send(4, level)
    packets = await _numbers(other, 3)
    assert [packet.payload for packet in packets] == [b"opus 2", b"opus 3", b"opus 4"]
    assert [packet.is_silent for packet in packets] == [True, True, False]


@pytest.mark.asyncio
async def test_a_packet_that_no_other_follows_waits_for_a_tenth_of_a_second(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    other.silent_from = SILENT
    one.send(0, SILENT)
    one.send(1, SILENT)
    await _numbers(other, 2)
    one.send(2, SILENT)
    (packet,) = await _numbers(other, 1)
    assert packet.arrived_s is not None
    assert 0.09 < time.monotonic() - packet.arrived_s < 1.0
    # What nobody can decrypt waits too, and is dropped then.
    other.inner.data_received(b"\x90\x60" + bytes(30), 1)
    one.send(3, None)
    assert [packet.payload for packet in await _numbers(other, 1)] == [b"opus 3"]


@pytest.mark.asyncio
async def test_a_reader_that_wants_each_packet_gets_each(sides: tuple[Side, Side]) -> None:
    one, other = sides
    for number in range(4):
        one.send(number, SILENT)
        (packet,) = await _numbers(other, 1)
        assert not packet.is_silent


def test_aiortc_still_works_the_way_the_shortcut_assumes() -> None:
    source = inspect.getsource(aiortc.rtcdtlstransport)
    for line in (
        "elif first_byte > 127 and first_byte < 192 and self._rx_srtp:",
        "data = self._rx_srtp.unprotect(data)",
        "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)",
        "await receiver._handle_rtp_packet(packet, arrival_time_ms=arrival_time_ms)",
    ):
        assert line in source, (
            f"aiortc changed: {line!r} is gone, look at rtc/aiortc_hooks/rtp_fast_path.py"
        )


def test_an_unknown_aiortc_is_refused_loudly() -> None:
    with pytest.raises(RuntimeError, match="unknown aiortc"):
        shorten_way_of_media(object(), object(), print)  # type: ignore[arg-type]
