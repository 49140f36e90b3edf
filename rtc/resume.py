"""The secret by which a member gets its place in a room back: known to the room and to it alone.

`instance` tells the others whether it is the same participant, so everybody sees it; it opens
nothing. This does, and it is told to nobody but the member itself.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence

from rtc.signals import Role

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
        """Whether `secret` was made for that place, by us or by an earlier run with our keys."""
        nonce, _, seal = secret.partition("-")
        given = seal.encode()
        seals = [_seal(key, nonce, channel, role, uid).encode() for key in self._keys]
        found = [hmac.compare_digest(given, seal) for seal in seals]
        return any(found)


def _seal(key: bytes, nonce: str, channel: str, role: Role, uid: int) -> str:
    # No part has a slash, so no two places have the same text.
    digest = hmac.digest(key, f"{nonce}/{channel}/{role}/{uid}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
