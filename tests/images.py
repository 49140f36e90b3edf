"""Images for tests: the right first bytes, and as many more as wanted."""

from __future__ import annotations

import base64
import random
from typing import Any

PIECE_CHARACTERS = 56 * 1024
"""Of base64 in a chunk that fits a data channel message."""


def jpeg(size_bytes: int = 64) -> bytes:
    """Bytes of this length that say they are a JPEG; the same each time."""
    return b"\xff\xd8\xff\xe0" + random.Random(size_bytes).randbytes(size_bytes - 4)


def chunks(image: bytes, image_id: str, *, size: int = PIECE_CHARACTERS) -> list[dict[str, Any]]:
    """The `client_image_chunk` events of an image."""
    text = base64.b64encode(image).decode("ascii")
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [
        {
            "type": "client_image_chunk",
            "id": image_id,
            "index": index,
            "count": len(pieces),
            "data": piece,
        }
        for index, piece in enumerate(pieces)
    ]


def shown(frames: list[dict[str, Any]]) -> list[bytes]:
    """The images among items that an OpenAI session was given."""
    urls = [
        part["image_url"]
        for frame in frames
        for part in frame["item"].get("content", [])
        if part["type"] == "input_image"
    ]
    return [base64.b64decode(url.partition(",")[2], validate=True) for url in urls]
