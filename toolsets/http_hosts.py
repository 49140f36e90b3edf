"""Hosts that HTTP tools may call: the setting `HTTP_TOOL_HOSTS`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import yarl

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME: Final = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*"
)
_LOCALHOST: Final = "localhost"
_REMEDY: Final = "name api.example.com, *.example.com, host:port, an address or a network"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: a name, perhaps `*.name`, or a network. port: None for 80 and 443"""

    name: str = ""
    network: _Network | None = None
    port: int | None = None

    def allows(self, host: str, port: int) -> bool:
        """Return true if the entry names this host and port."""
        if port not in ((80, 443) if self.port is None else (self.port,)):
            return False
        if self.network is not None:
            return self.has_address(_address(host))
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return host == self.name

    def has_address(self, address: _Address | None) -> bool:
        """Return true if the entry is a network with this address."""
        return self.network is not None and address is not None and address in self.network


class HttpHosts:
    """An allow-list. A name may lead to public addresses only, unless its address is listed too."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """
        Raises:
            ValueError: An entry is none; names it.
        """
        self._entries = tuple(_read(entry) for entry in entries)

    def allows(self, url: yarl.URL) -> bool:
        """Return true if a tool may call the host of this URL."""
        host, port = (url.host or "").lower().rstrip("."), url.port or 0
        return any(entry.allows(host, port) for entry in self._entries)

    def allows_address(self, host: str, text: str) -> bool:
        """Return true if `host`, which is allowed, may be reached at this address."""
        if (address := _address(text)) is None:
            return False
        if any(entry.has_address(address) for entry in self._entries):
            return True
        if host.lower().rstrip(".") == _LOCALHOST:
            return address.is_loopback
        return address.is_global and not address.is_multicast


def _read(entry: str) -> _Entry:
    text, port = entry.strip().lower(), None
    if found := re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:/]+):(\d{1,5})", text):
        text, port = found[1], int(found[2])
    if port is not None and not 0 < port <= 65_535:
        raise ValueError(f"{entry}: there is no such port")
    try:
        return _Entry(network=ipaddress.ip_network(text.strip("[]"), strict=False), port=port)
    except ValueError:
        pass
    # What looks like an address and is none would be a name that only a resolver understands.
    if _NAME.fullmatch(text) is None or re.fullmatch(r"[\d.x]+", text):
        raise ValueError(f"{entry}: is no host; {_REMEDY}")
    return _Entry(name=text, port=port)


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
