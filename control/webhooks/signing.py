"""Signatures as the Standard Webhooks specification has them. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

MIN_SECRET_BYTES: Final = 24
_PREFIX: Final = "whsec_"


def parse_secret(text: str) -> bytes:
    """The key of a secret: base64 after `whsec_`, else the characters themselves.

    Raises:
        ValueError: too short, or no base64.
    """
    key = text.encode()
    if text.startswith(_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError("WEBHOOK_SECRET: what follows whsec_ must be base64") from error
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"WEBHOOK_SECRET: must have {MIN_SECRET_BYTES} bytes or more")
    return key


def signed_headers(key: bytes, *, delivery_id: str, timestamp_s: int, body: str) -> dict[str, str]:
    """The headers by which a receiver knows that the delivery is ours, and how old it is."""
    content = f"{delivery_id}.{timestamp_s}.{body}".encode()
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{signature}",
    }
