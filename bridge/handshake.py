"""The opening handshake of a WebSocket on the server's side (RFC 6455, section 4.2). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
_KEY_BYTES: Final = 16
BEARERS: Final = frozenset({"bearer", "parley-bearer", "10xgraph-bearer", "agentflow-bearer"})
"""Subprotocols of which the next one offered is a token: pages cannot set headers."""


class HandshakeError(Exception):
    """The request is no WebSocket handshake; `status` of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Offer:
    """The offer of a client: subprotocols, in its order, and the token among them."""

    subprotocols: tuple[str, ...]
    token: str | None
    key: str

    def choose(self, known: Collection[str]) -> str | None:
        """Return the subprotocol of the answer: a known one, else the one that brought the token.

        Browsers insist on one of theirs.
        """
        chosen = next((one for one in self.subprotocols if one in known), None)
        bearer = next((one for one in self.subprotocols if one in BEARERS), None)
        return chosen or bearer

    def accept(self, subprotocol: str | None) -> bytes:
        """Return the head of the answer 101."""
        digest = hashlib.sha1(self.key.encode() + _GUID, usedforsecurity=False).digest()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        return "\r\n".join([*lines, "", ""]).encode()


NO_OFFER: Final = Offer((), None, "")
"""Of a plain request."""


def read_offer(headers: Mapping[str, str], protocols: str) -> Offer:
    """Check a request's headers. protocols: all values of Sec-WebSocket-Protocol, joined by commas.

    Raises:
        HandshakeError: it is no handshake, or of another version.
    """
    is_upgrade = "upgrade" in set(_words(headers.get("Connection", "")))
    if not is_upgrade or headers.get("Upgrade", "").lower() != "websocket":
        raise HandshakeError(426, "this address is for WebSockets")
    if headers.get("Sec-WebSocket-Version") != _VERSION:
        raise HandshakeError(426, f"Sec-WebSocket-Version: {_VERSION} is needed")
    key = headers.get("Sec-WebSocket-Key", "")
    if not _is_key(key):
        raise HandshakeError(400, "Sec-WebSocket-Key is 16 bytes in base64")
    offered = tuple(one.strip() for one in protocols.split(",") if one.strip())
    token = next((after for one, after in itertools.pairwise(offered) if one in BEARERS), None)
    return Offer(offered, token, key)


def _words(value: str) -> Iterator[str]:
    for word in value.split(","):
        yield word.strip().lower()


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
