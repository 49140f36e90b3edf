"""Signatures by the Standard Webhooks specification. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signed_headers(
    keys: Sequence[bytes], *, delivery_id: str, timestamp_s: int, body: str
) -> dict[str, str]:
    """Return the headers by which a receiver verifies a delivery's origin and age. It needs to know
    one of the keys.
    """
    content = f"{delivery_id}.{timestamp_s}.{body}".encode()
    signatures = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }
