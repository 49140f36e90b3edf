"""Secrets of named keys: `pk_ID_SECRET`, of which the store keeps a hash. Pure but for the random source.

ID is public and finds the key; SECRET has 256 random bits, so that a plain SHA-256 of it cannot be
searched (NIST SP 800-63B asks for slow hashes of what people choose).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

_FORM: Final = re.compile(r"pk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_PREFIX: Final = "pk_"


def new_key_id() -> str:
    """Return the public part of a new key."""
    return secrets.token_hex(6)


def new_secret(key_id: str) -> str:
    """Return a new secret of the key."""
    return f"{_PREFIX}{key_id}_{secrets.token_urlsafe(32)}"


def is_named_key(secret: str) -> bool:
    """Return true if it has the form of a named key's secret, known or not."""
    return secret.startswith(_PREFIX)


def key_id_of(secret: str) -> str | None:
    """Return the public part; None if it is no secret of a named key."""
    found = _FORM.fullmatch(secret)
    return None if found is None else found[1]


def digest_of(secret: str) -> str:
    """Return what the store keeps of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_same(digest: str, other: str | None) -> bool:
    """Compare two hashes in a time that does not depend on them."""
    return other is not None and hmac.compare_digest(digest, other)
