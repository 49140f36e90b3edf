"""Whom a request comes from, for limits: pure but for the request it looks at."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from aiohttp import web

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HEADER: Final = "X-Forwarded-For"
_IPV6_PREFIX: Final = 64
"""Whoever has one IPv6 address has such a network of them."""


class Addresses:
    """Believes `X-Forwarded-For` as far as trusted proxies wrote it, and nobody else."""

    def __init__(self, trusted: Sequence[IpNetwork] = ()) -> None:
        self._trusted = tuple(trusted)

    def of(self, request: web.Request) -> str | None:
        """The client; None for a program of this machine, which agents are too."""
        return self.client(request.remote, request.headers.getall(_HEADER, []))

    def client(self, remote: str | None, forwarded: Sequence[str]) -> str | None:
        """The same, of a peer's address and the values of the header, in their order."""
        address = _parse(remote or "")
        hops = [hop.strip() for value in forwarded for hop in value.split(",")]
        is_forwarded = False
        while address is not None and hops and self._is_trusted(address):
            if (hop := _parse(hops.pop())) is None:
                break
            address, is_forwarded = hop, True
        if address is None or (address.is_loopback and not is_forwarded):
            return None
        return _group(address)

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _group(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
