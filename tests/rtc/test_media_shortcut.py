"""RTP is handed on in the step in which it came; everything else goes aiortc's way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import aiortc.rtcdtlstransport
import pytest
import pytest_asyncio
from aiortc.rtp import is_rtcp

from rtc.aiortc_adapter import RtpPacket
from rtc.media_network import MediaNetwork
from rtc.media_shortcut import shorten_way_of_media
from rtc.options import MediaOptions
from rtc.peer import Peer, PeerCallbacks

DEADLINE_S = 10.0
ON_LOOPBACK = MediaOptions(network=MediaNetwork(bind_address="127.0.0.1"))


class Side:
    """A peer that notes what comes, and whether a task of aiortc brought it."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[tuple[RtpPacket, bool]] = asyncio.Queue()
        self.events: asyncio.Queue[str] = asyncio.Queue()
        callbacks = PeerCallbacks(
            on_packet=lambda packet: self.packets.put_nowait((packet, _is_in_task())),
            on_event=self.events.put_nowait,
            on_event_refused=self.events.put_nowait,
            on_path_dead=lambda: None,
        )
        self.peer = Peer("connection", (), ON_LOOPBACK, callbacks)

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


def test_aiortc_still_works_the_way_the_shortcut_assumes() -> None:
    source = inspect.getsource(aiortc.rtcdtlstransport)
    for line in (
        "elif first_byte > 127 and first_byte < 192 and self._rx_srtp:",
        "data = self._rx_srtp.unprotect(data)",
        "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)",
        "await receiver._handle_rtp_packet(packet, arrival_time_ms=arrival_time_ms)",
    ):
        assert line in source, f"aiortc changed: {line!r} is gone, look at rtc/media_shortcut.py"


def test_an_unknown_aiortc_is_refused_loudly() -> None:
    with pytest.raises(RuntimeError, match="unknown aiortc"):
        shorten_way_of_media(object(), object())  # type: ignore[arg-type]
