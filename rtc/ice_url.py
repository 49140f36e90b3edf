"""Addresses of STUN and TURN servers, RFC 7064 and 7065. Pure, knows nothing of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_URL: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)"
    r"(:(?P<port>[0-9]{1,5}))?(\?transport=(?P<transport>udp|tcp))?"
)


@dataclass(frozen=True)
class IceAddress:
    """Address of a STUN or TURN server."""

    host: str
    port: int
    is_turn: bool
    has_tls: bool
    transport: Literal["udp", "tcp"]


def parse_ice_url(url: str) -> IceAddress:
    """The parts of `stun:HOST[:PORT]` or `turn(s):HOST[:PORT][?transport=udp|tcp]`.

    Raises:
        ValueError: not such an address; the text says what is expected.
    """
    if (match := _URL.fullmatch(url)) is None:
        expected = "stun:HOST[:PORT] or turn(s):HOST[:PORT][?transport=udp|tcp]"
        raise ValueError(f"{url!r} is no address of an ICE server: use {expected}")
    scheme, transport = match["scheme"], match["transport"]
    has_tls, is_turn = scheme.endswith("s"), scheme.startswith("turn")
    port = int(match["port"] or (5349 if has_tls else 3478))
    if not 0 < port < 65_536:
        raise ValueError(f"{url!r}: a port is 1 to 65535")
    if not is_turn and (has_tls or transport is not None):
        raise ValueError(f"{url!r}: STUN is asked over UDP only: use stun:HOST[:PORT]")
    if has_tls and transport == "udp":
        raise ValueError(f"{url!r}: turns: goes over tcp")
    default: Literal["udp", "tcp"] = "tcp" if has_tls else "udp"
    chosen: Literal["udp", "tcp"] = "tcp" if transport == "tcp" else default
    return IceAddress(match["host"].strip("[]"), port, is_turn, has_tls, chosen)
