"""Signatures as the Standard Webhooks specification has them. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signed_headers(
    keys: Sequence[bytes], *, delivery_id: str, timestamp_s: int, body: str
) -> dict[str, str]:
    """The headers by which a receiver knows that the delivery is ours, and how old it is. Of several
    keys it needs to know one.
    """
    content = f"{delivery_id}.{timestamp_s}.{body}".encode()
    signatures = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }
