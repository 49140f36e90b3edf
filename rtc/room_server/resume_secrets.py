"""Secrets with which members resume their place in a room: known to the room and the member alone.

`instance` shows the others if it is the same participant, so it is public and proves nothing. The
secret does, and is sent to the member alone.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence

from line.participants import Role

_PURPOSE = b"a place in a room"


class ResumeSecrets:
    """Makes and knows them. With the keys of an earlier run it knows those of that run."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """keys: the first makes new ones, all are known; without any, those of this run alone."""
        texts = keys or (secrets.token_hex(32),)
        # Derived, so that nothing made here can be taken for a token, or a token for this.
        self._keys = [hmac.digest(text.encode(), _PURPOSE, "sha256") for text in texts]

    def make(self, channel: str, role: Role, uid: int) -> str:
        """One for a new member: another each time, of the alphabet of `signals.Word`."""
        nonce = secrets.token_hex(8)
        return f"{nonce}-{_seal(self._keys[0], nonce, channel, role, uid)}"

    def knows(self, secret: str, channel: str, role: Role, uid: int) -> bool:
        """True if `secret` was made for that place, by this server or an earlier run with the same keys."""
        nonce, _, seal = secret.partition("-")
        given = seal.encode()
        seals = [_seal(key, nonce, channel, role, uid).encode() for key in self._keys]
        found = [hmac.compare_digest(given, seal) for seal in seals]
        return any(found)


def _seal(key: bytes, nonce: str, channel: str, role: Role, uid: int) -> str:
    # No part has a slash, so no two places have the same text.
    digest = hmac.digest(key, f"{nonce}/{channel}/{role}/{uid}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
