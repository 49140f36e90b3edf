"""A bad network inside of a participant: what is lost there never reaches the other one, nor comes from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rtc.bad_network import MAX_DELAYED, BadNetwork, Conditions
from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.options import MediaOptions, RtcOptions
from tests.loopback.stage import Stage, soon
from tests.rtc.sound import tone

RTP = bytes([128, 111]) + bytes(20)


class _Pair:
    """Two people in a room, one of them behind a network."""

    def __init__(self, url: str, network: BadNetwork) -> None:
        behind = MediaOptions(bad_network=network)
        self.near = RtcEngine(url, behind).create_channel(RtcOptions("demo", 7, "user"))
        self.far = RtcEngine(url).create_channel(RtcOptions("demo", 8, "user"))

    async def meet(self) -> None:
        """Until both hear each other."""
        met = [asyncio.Event() for _ in range(2)]
        for channel, event in zip((self.near, self.far), met, strict=True):
            channel.on("user_connected", lambda _uid, event=event: event.set())
            await channel.connect()
        for event in met:
            await soon(event.wait())
        await self.near.subscribe_audio(8)
        await self.far.subscribe_audio(7)


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    async with Stage() as stage:
        yield stage.room_url


async def _say(channel: Channel, seconds: float) -> None:
    done = asyncio.Event()
    channel.on("playout_done", lambda _key: done.set())
    channel.push_audio_frame(tone(440, seconds, 24_000), key="tone")
    channel.finish_audio("tone")
    await soon(done.wait())


@pytest.mark.asyncio
async def test_what_is_lost_both_ways_is_counted_and_the_rest_arrives(url: str) -> None:
    network = BadNetwork()
    pair = _Pair(url, network)
    try:
        await pair.meet()
        network.set_conditions(Conditions(loss=0.3, jitter_s=0.02, seed=4))
        await asyncio.gather(_say(pair.near, 2.0), _say(pair.far, 2.0))
        near, far = pair.near.statistics().users[8], pair.far.statistics().users[7]
        assert network.lost > 20
        assert network.forwarded > 60
        for user in (near, far):
            assert user.packets_lost > 5
            assert user.packets_received > 30
            assert user.connection == "connected"
    finally:
        await pair.near.disconnect()
        await pair.far.disconnect()
        network.close()


@pytest.mark.asyncio
async def test_a_network_that_loses_all_media_keeps_the_connection_and_its_events(url: str) -> None:
    network = BadNetwork(Conditions(loss=1.0))
    pair = _Pair(url, network)
    came = asyncio.Event()
    try:
        await pair.meet()
        pair.far.on("event", lambda _text, _uid: came.set())
        await _say(pair.near, 0.5)
        assert pair.near.send_event('{"type": "hello"}')
        await soon(came.wait())
        assert pair.far.statistics().users[7].packets_received == 0
        assert network.forwarded == 0
    finally:
        await pair.near.disconnect()
        await pair.far.disconnect()


@pytest.mark.asyncio
async def test_packets_on_their_way_are_bounded_and_dropped_at_the_end() -> None:
    network = BadNetwork(Conditions(delay_s=60.0))
    arrived: list[int] = []
    for number in range(MAX_DELAYED + 5):
        network.carry(0, RTP, lambda number=number: arrived.append(number))  # type: ignore[misc]
    assert (network.forwarded, network.lost) == (MAX_DELAYED, 5)
    network.close()
    assert arrived == []


def test_only_media_is_affected() -> None:
    network = BadNetwork()
    assert network.is_affected(RTP)
    # STUN, DTLS, RTCP
    for datagram in (bytes(20), bytes([22]) + bytes(20), bytes([128, 200]) + bytes(20)):
        assert not network.is_affected(datagram)
    assert BadNetwork(Conditions(has_rtcp=True)).is_affected(bytes([128, 200]) + bytes(20))
