"""Gathering of local ICE candidates, in place of aioice's own.

Only addresses and ports that the settings allow, and every configured STUN and TURN server. A
server that refuses or does not answer is named in the log: aioice would log nothing.
`tests/rtc/aiortc_hooks/test_ice.py` fails when aioice changes what this relies on.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import random
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from aioice import Candidate, ice, stun
from aioice.candidate import candidate_foundation, candidate_priority

from rtc.aiortc_hooks.rtp_fast_path import MediaProtocol
from rtc.ice_url import IceAddress, parse_ice_url
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.room_server.ice_servers import explain_refusal
from rtc.signaling.protocol import IceServer
from utils import wall_clock_ms

GATHER_TIMEOUT_S: Final = 3.0
_RECEIVE_BUFFER_BYTES: Final = 256 * 1024
_LOOPBACK: Final = "127.0.0.1"
_UNAUTHORIZED: Final = 401

_log = logging.getLogger(__name__)


class IceGatherer:
    """Gathers for one aioice connection."""

    def __init__(
        self, inner: ice.Connection, media: MediaOptions, ice_servers: Sequence[IceServer]
    ) -> None:
        self._inner = inner
        self._media = media
        self._network = media.network
        self._ice_servers = ice_servers

    async def gather(self, component: int, addresses: list[str]) -> list[Candidate]:
        """The candidates of one component; addresses: those that this machine has."""
        protocols: list[ice.StunProtocol] = []
        for address in self._allowed(addresses):
            if (protocol := await self._bind(component, address)) is not None:
                protocols.append(protocol)
                # Before the next one: of a gathering that is cancelled the connection closes these.
                self._inner._protocols.append(protocol)  # noqa: SLF001
        candidates = [self._advertise(protocol.local_candidate) for protocol in protocols]
        candidates += await self._ask_servers(component, protocols)
        if not candidates:
            _log.warning("no address to offer for media: %s", self._media)
        return candidates

    # -- our own sockets -------------------------------------------------------------------------

    def _allowed(self, addresses: list[str]) -> list[str]:
        if self._network.is_relay_only:
            return []
        if self._network.bind_address is not None:
            return [self._network.bind_address]
        if self._media.has_loopback or not addresses:
            return [_LOOPBACK, *(one for one in addresses if one != _LOOPBACK)]
        return addresses

    async def _bind(self, component: int, address: str) -> ice.StunProtocol | None:
        last: OSError | None = None
        for port in _ports_to_try(self._network):
            try:
                return await self._open(component, address, port)
            except OSError as error:
                last = error
                if error.errno != errno.EADDRINUSE:
                    break
        _log.warning("no UDP port for media on %s: %s", address, last)
        return None

    async def _open(self, component: int, address: str, port: int) -> ice.StunProtocol:
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: MediaProtocol(self._inner), local_addr=(address, port)
        )
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        host, bound_port = transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = _host_candidate(component, host, bound_port)
        return protocol

    def _advertise(self, candidate: Candidate) -> Candidate:
        """Return the candidate to signal: behind a 1:1 NAT, with the address outside."""
        advertised = self._network.advertised_address
        is_inside_only = ipaddress.ip_address(candidate.host).is_loopback
        if advertised is None or (is_inside_only and self._network.bind_address is None):
            return candidate
        if _version(advertised) != _version(candidate.host):
            return candidate
        return _host_candidate(candidate.component, advertised, candidate.port)

    # -- servers ---------------------------------------------------------------------------------

    async def _ask_servers(
        self, component: int, protocols: list[ice.StunProtocol]
    ) -> list[Candidate]:
        asked = [
            self._ask(url, server, component, protocols)
            for server in self._ice_servers
            for url in server.urls
        ]
        return [one for one in await asyncio.gather(*asked) if one is not None]

    async def _ask(
        self, url: str, server: IceServer, component: int, protocols: list[ice.StunProtocol]
    ) -> Candidate | None:
        try:
            async with asyncio.timeout(GATHER_TIMEOUT_S):
                address = parse_ice_url(url)
                if address.is_turn:
                    return await self._relay(address, server, component)
                return await _reflect(address, protocols)
        except TimeoutError:
            _log.warning("%s does not answer within %.0f s", url, GATHER_TIMEOUT_S)
        except (stun.TransactionError, OSError, ValueError) as error:
            _log.warning("%s gives no address: %s", url, _cause(error, server))
        return None

    async def _relay(self, address: IceAddress, server: IceServer, component: int) -> Candidate:
        candidate, protocol = await ice.relayed_candidate(
            component=component,
            hide_related_address=self._network.is_relay_only,
            protocol_factory=lambda: MediaProtocol(self._inner),
            turn_server=(address.host, address.port),
            turn_username=server.username,
            turn_password=server.credential,
            turn_ssl=address.has_tls,
            turn_transport=address.transport,
        )
        self._inner._protocols.append(protocol)  # noqa: SLF001
        return candidate


async def _reflect(address: IceAddress, protocols: list[ice.StunProtocol]) -> Candidate | None:
    """Our address as the server sees it, from the socket that leads to it (IPv4 only)."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        address.host, address.port, family=socket.AF_INET, type=socket.SOCK_DGRAM
    )
    host, port = found[0][4][:2]
    candidates = [one for one in protocols if _version(one.local_candidate.host) == 4]
    source = _source_address(str(host), int(port))
    leading = [one for one in candidates if one.local_candidate.host == source] or candidates[:1]
    for protocol in leading:
        candidate, _ = await ice.server_reflexive_candidate(protocol, (str(host), int(port)))
        return candidate
    return None


def _source_address(host: str, port: int) -> str:
    """The local address from which the system would send there; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])


def _cause(error: Exception, server: IceServer) -> str:
    if isinstance(error, stun.TransactionFailed) and error.response.error_code == _UNAUTHORIZED:
        return f"{error}; {explain_refusal(server.username or '', wall_clock_ms() / 1000)}"
    return str(error) or type(error).__name__


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _ports_to_try(network: MediaNetwork) -> Iterator[int]:
    """0 lets the system choose; a range from a random one on, so that agents do not queue up."""
    if network.ports is None:
        yield 0
        return
    first, last = network.ports
    count = last - first + 1
    start = random.randrange(count)
    for index in range(count):
        yield first + (start + index) % count


def _host_candidate(component: int, host: str, port: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host"),
        host=host,
        port=port,
        type="host",
    )
