"""What is offered for media: addresses, ports, the address outside; and what we know of aioice."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from aioice import ice, stun
from aiortc import RTCConfiguration, RTCPeerConnection

from rtc.aiortc_hooks.ice import adapt_ice
from rtc.aiortc_hooks.ice_gathering import IceGatherer
from rtc.aiortc_hooks.receiver import close_connection
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.signaling.protocol import IceServer
from utils import cancel_and_wait

Gathered = list[tuple[str, int, str]]
Gather = Callable[..., Any]
FIRST_PORT, LAST_PORT = 29_310, 29_312


@pytest_asyncio.fixture
async def gather() -> AsyncIterator[Gather]:
    """Gathers candidates as (address, port, type); connections end with the test."""
    async with AsyncExitStack() as stack:

        async def run(*servers: IceServer, has_loopback: bool = True, **network: Any) -> Gathered:
            media = MediaOptions(has_loopback, MediaNetwork(**network))
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            stack.push_async_callback(close_connection, connection)
            connection.addTransceiver("audio")
            adapt_ice(connection, media, servers)
            await connection.setLocalDescription(await connection.createOffer())
            gatherer = connection.getTransceivers()[0].receiver.transport.transport.iceGatherer
            return [(c.ip, c.port, c.type) for c in gatherer.getLocalCandidates()]

        yield run


@pytest.mark.asyncio
async def test_a_bind_address_is_the_only_one(gather: Gather) -> None:
    found = await gather(has_loopback=False, bind_address="127.0.0.9")
    assert [(ip, kind) for ip, _, kind in found] == [("127.0.0.9", "host")]


@pytest.mark.asyncio
async def test_loopback_is_offered_where_the_room_is_on_it(gather: Gather) -> None:
    assert "127.0.0.1" in [ip for ip, _, _ in await gather()]
    elsewhere = [ip for ip, _, _ in await gather(has_loopback=False)]
    # A machine without any other address has nothing else to offer.
    assert "127.0.0.1" not in elsewhere or elsewhere == ["127.0.0.1"]


@pytest.mark.asyncio
@pytest.mark.parametrize("steps", range(12))
async def test_a_gathering_that_is_cancelled_leaves_no_socket(steps: int) -> None:
    before = set(os.listdir("/proc/self/fd"))
    inner = ice.Connection(ice_controlling=True)
    gatherer = IceGatherer(inner, MediaOptions(has_loopback=True), ())
    addresses = ["127.0.0.2", "127.0.0.3"]
    gathering = asyncio.get_running_loop().create_task(gatherer.gather(1, addresses))
    for _ in range(steps):
        await asyncio.sleep(0)
    await cancel_and_wait(gathering)
    await inner.close()
    async with asyncio.timeout(2):
        while set(os.listdir("/proc/self/fd")) - before:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_ports_come_from_the_range_until_it_is_used_up(
    gather: Gather, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = {"has_loopback": False, "bind_address": "127.0.0.9", "ports": (FIRST_PORT, LAST_PORT)}
    ports = [(await gather(**wanted))[0][1] for _ in range(3)]
    assert sorted(ports) == [FIRST_PORT, FIRST_PORT + 1, LAST_PORT]
    with caplog.at_level(logging.WARNING):
        assert await gather(**wanted) == []
    assert "no UDP port for media on 127.0.0.9" in caplog.text


@pytest.mark.asyncio
async def test_the_advertised_address_stands_for_those_behind_it(
    gather: Gather, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Tells our address towards the world; nothing is sent.
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    monkeypatch.setattr(ice, "get_host_addresses", lambda **_: [own])
    found = await gather(advertised_address="203.0.113.7")
    assert [ip for ip, _, _ in found] == ["127.0.0.1", "203.0.113.7"]
    assert own not in [ip for ip, _, _ in await gather(advertised_address="203.0.113.7")]


@pytest.mark.asyncio
async def test_relay_only_without_a_relay_offers_nothing_and_says_so(
    gather: Gather, caplog: pytest.LogCaptureFixture, unused_udp_port: int
) -> None:
    turn = IceServer(urls=(f"turn:127.0.0.1:{unused_udp_port}",), username="u", credential="p")
    with caplog.at_level(logging.WARNING):
        assert await gather(turn, is_relay_only=True) == []
    assert f"turn:127.0.0.1:{unused_udp_port}" in caplog.text
    assert "no address to offer" in caplog.text


class _StunServer(asyncio.DatagramProtocol):
    """Tells everybody that they come from 198.51.100.5:4242."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        answer = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        answer.attributes["XOR-MAPPED-ADDRESS"] = ("198.51.100.5", 4242)
        self.transport.sendto(bytes(answer), addr)


@pytest.mark.asyncio
async def test_a_stun_server_tells_the_address_outside(gather: Gather) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_StunServer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    server = IceServer(urls=(f"stun:127.0.0.1:{port}",))
    found = await gather(server, has_loopback=False, bind_address="127.0.0.1")
    transport.close()
    assert [(ip, kind) for ip, _, kind in found] == [
        ("127.0.0.1", "host"),
        ("198.51.100.5", "srflx"),
    ]
    assert found[1][1] == 4242


@pytest.fixture
def unused_udp_port() -> int:
    """A port where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_aioice_still_works_the_way_we_assume() -> None:
    connection = inspect.getsource(ice.Connection)
    for line in (
        "self.get_component_candidates(component=component, addresses=addresses)",
        "self._query_consent_task = asyncio.create_task(self.query_consent())",
        "for pair in self._nominated.values():",
        "self._protocols += host_protocols",
        "for protocol in self._protocols:\n            await protocol.close()",
    ):
        assert line in connection, (
            f"aioice changed: {line!r} is gone, look at rtc/aiortc_hooks/ice.py"
        )
    protocol = inspect.getsource(ice.StunProtocol)
    assert "transaction = self.transactions[message.transaction_id]" in protocol
    assert "transaction.response_received(message, addr)" in protocol
    relayed = inspect.signature(ice.relayed_candidate).parameters
    assert "turn_transport" in relayed
    assert "hide_related_address" in relayed


@pytest.mark.asyncio
async def test_an_unknown_aioice_is_refused_loudly() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("audio")
    transport = connection.getTransceivers()[0].receiver.transport.transport
    known, transport._connection = transport._connection, object()  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="unknown aioice"):
        adapt_ice(connection, MediaOptions(), ())
    transport._connection = known
    await connection.close()
