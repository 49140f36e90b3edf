"""Remote ICE candidates, and the addresses among them that may be sent to. Pure, without aiortc.

An address is sent to because a stranger named it, so names are never looked up (addresses behind
mDNS names are learnt from checks that come), and multicast, broadcast and unspecified addresses, or those for
services of the machine's own link, are left out. Addresses of private networks are what calls in a
local network are made of, and loopback what calls on this machine are made of.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

MAX_REMOTE_CANDIDATES: Final = 32
"""Of one connection, in its description and trickled."""

_TYPES: Final = frozenset({"host", "srflx", "relay"})
_MAX_PRIORITY: Final = 2**31 - 1
# What ICE allows in a foundation: 1 to 32 of letters, digits, + and /.
_FOUNDATION: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_RESERVED: Final = (
    ipaddress.ip_network("0.0.0.0/8"),
    # Class E, and the broadcast address at its end.
    ipaddress.ip_network("240.0.0.0/4"),
    # IPv4 in IPv6's clothes: the system would send to the IPv4 address.
    ipaddress.ip_network("::ffff:0:0/96"),
)


@dataclass(frozen=True)
class RemoteCandidate:
    """A candidate that may be checked, of the one component that we have."""

    foundation: str
    priority: int
    address: str
    port: int
    type: str

    def to_sdp(self) -> str:
        """The value of its `a=candidate:` line."""
        return f"{self.foundation} 1 udp {self.priority} {self.address} {self.port} typ {self.type}"


def read_candidate(text: str) -> RemoteCandidate | None:
    """The candidate of an `a=candidate:` line or a W3C string; None for one of no use to us."""
    text = text.strip()
    if text[:2] == "a=":
        text = text[2:]
    words = text.removeprefix("candidate:").split()
    if len(words) < 8 or words[6].lower() != "typ" or words[7].lower() not in _TYPES:
        return None
    foundation, component, transport, priority, address, port = words[:6]
    if component != "1" or transport.lower() != "udp":
        return None
    usable = _usable_address(address)
    port_number, weight = _number(port), _number(priority)
    if usable is None or weight is None or port_number is None or not 0 < port_number < 65_536:
        return None
    return RemoteCandidate(
        foundation=_sound_foundation(foundation),
        priority=min(weight, _MAX_PRIORITY),
        address=usable,
        port=port_number,
        type=words[7].lower(),
    )


def _usable_address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        # A name: mDNS, or an attempt to cause a lookup.
        return None
    if "%" in text:
        return None
    is_special = address.is_unspecified or address.is_multicast or address.is_link_local
    if is_special or any(
        address in network for network in _RESERVED if network.version == address.version
    ):
        return None
    return str(address)


def _sound_foundation(text: str) -> str:
    return text if 0 < len(text) <= 32 and _FOUNDATION.issuperset(text) else "0"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
