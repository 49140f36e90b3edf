"""Ephemeral keys: each opens sessions until it expires, in place of the server's own key."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from realtime import struct as wire
from utils import BoundedDict, wall_clock_ms

PREFIX: Final = "ek_"
MIN_TTL_S: Final = 10
MAX_TTL_S: Final = 7_200
DEFAULT_TTL_S: Final = 600
MAX_KEYS: Final = 10_000
"""Kept at once; one more replaces the oldest."""


@dataclass(frozen=True, slots=True)
class EphemeralKey:
    """A key and the settings that its sessions begin with. expires_at_s: Unix time."""

    value: str = field(repr=False)
    expires_at_s: int
    session: wire.Session | None = None


class EphemeralKeys:
    """Keys in memory, found by their digest, so that no time depends on how much of a key is right."""

    def __init__(self, limit: int = MAX_KEYS, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._keys: BoundedDict[bytes, EphemeralKey] = BoundedDict(limit)
        self._now_ms = now_ms

    def create(self, session: wire.Session | None, ttl_s: int = DEFAULT_TTL_S) -> EphemeralKey:
        """Make a key that is valid for `ttl_s`."""
        self._forget_expired()
        value = PREFIX + secrets.token_urlsafe(24)
        key = EphemeralKey(value, self._now_ms() // 1000 + ttl_s, session)
        self._keys[_digest(value)] = key
        return key

    def find(self, value: str) -> EphemeralKey | None:
        """Return the key if it is known and has not expired."""
        key = self._keys.get(_digest(value))
        if key is None or key.expires_at_s * 1000 <= self._now_ms():
            return None
        return key

    def _forget_expired(self) -> None:
        now_ms = self._now_ms()
        expired = [at for at, key in self._keys.items() if key.expires_at_s * 1000 <= now_ms]
        for digest in expired:
            del self._keys[digest]


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode(errors="surrogateescape")).digest()
