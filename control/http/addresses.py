"""Client addresses of requests and connections, for limits; pure apart from reading the request."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from http_server.connections import Asker

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HEADER: Final = "X-Forwarded-For"
_IPV6_PREFIX: Final = 64
"""A client with one IPv6 address usually has a whole network of this prefix."""

# As some proxies write a client: with its port, an IPv6 address then in brackets; quoted.
_WITH_PORT: Final = re.compile(r"\[([^\[\]]*)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")


class Addresses:
    """Resolves client addresses; `X-Forwarded-For` counts only as far as trusted proxies wrote it."""

    def __init__(self, trusted: Sequence[IpNetwork] = ()) -> None:
        self._trusted = tuple(trusted)

    def of(self, request: web.Request) -> str | None:
        """Return the client; None for a program of this machine, agents included."""
        return self.client(request.remote, request.headers.getall(_HEADER, []))

    def client(self, remote: str | None, forwarded: Sequence[str]) -> str | None:
        """Resolve from a peer's address and the header's values, in their order.

        A trusted proxy that names no parsable address is itself the client: all its requests then
        count as one client's.
        """
        address = _parse(remote or "")
        if address is None:
            return None
        hops = [hop.strip() for value in forwarded for hop in value.split(",")]
        is_forwarded = bool(hops) and self._is_trusted(address)
        while hops and self._is_trusted(address):
            if (hop := _parse_hop(hops.pop())) is None:
                break
            address = hop
        return None if address.is_loopback and not is_forwarded else _group(address)

    def peer(self, remote: str) -> Asker:
        """Return the owner of a connection from this address; a trusted proxy stands for many."""
        address = _parse(remote)
        if address is None:
            return Asker(remote)
        is_limited = not address.is_loopback and not self._is_trusted(address)
        return Asker(_group(address), is_limited)

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parse_hop(text: str) -> _Address | None:
    text = text.strip('"')
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text = found[1] or found[2] or ""
    return _parse(text)


def _group(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
