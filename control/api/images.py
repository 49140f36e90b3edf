"""Bodies of requests that show an agent an image: JSON, or the image itself."""

from __future__ import annotations

import base64
from typing import Final

from aiohttp import web
from pydantic import Field

from control.api.schemas import Request
from control.http.bodies import BODY_TIMEOUT_S, parse_body
from control.http.errors import ApiError
from conversation.events.client_events import ClientImageAppend, ImageFormat
from http_server.bodies import read_body
from untrusted.images import (
    IMAGE_TYPES,
    MAX_BASE64_CHARACTERS,
    MAX_IMAGE_BYTES,
    ImageType,
    InvalidImageError,
    require_image,
)
from untrusted.json_reader import read_base64

_MAX_JSON_BYTES: Final = MAX_BASE64_CHARACTERS + 1024


class ImageRequest(Request):
    """An image that the agent's model shall see, of 1 MiB at most; it asks for no reply."""

    image: str = Field(
        min_length=1, max_length=MAX_BASE64_CHARACTERS, description="base64 of the encoded image"
    )
    format: ImageFormat | None = Field(default=None, description="without it the bytes tell")


async def parse_image(request: web.Request) -> ClientImageAppend:
    """Read an image from a request.

    Raises:
        ApiError: 415 wrong content type, 413 too large, 400 malformed, or no such image.
        BodyError: the body cannot be read.
    """
    data, declared = await _read(request)
    if len(data) > MAX_IMAGE_BYTES:
        limit_kib = MAX_IMAGE_BYTES // 1024
        raise ApiError(413, "too_large", f"the image is larger than {limit_kib} KiB")
    try:
        found = require_image(data, declared)
    except InvalidImageError as error:
        raise ApiError(400, "invalid_request", f"Invalid request data: image: {error}") from error
    text = base64.b64encode(data).decode("ascii")
    return ClientImageAppend(image=text, format=ImageFormat(type=found))


async def _read(request: web.Request) -> tuple[bytes, ImageType | None]:
    """Return the bytes of the image, and the type that the sender says it is of."""
    for image_type in IMAGE_TYPES:
        if request.content_type == image_type:
            body = await read_body(request, max_bytes=MAX_IMAGE_BYTES, timeout_s=BODY_TIMEOUT_S)
            return body, image_type
    if request.content_type != "application/json":
        text = f"the body must be JSON or an image: Content-Type: application/json, {', '.join(IMAGE_TYPES)}"
        raise ApiError(415, "unsupported_media_type", text)
    wanted = await parse_body(request, ImageRequest, max_bytes=_MAX_JSON_BYTES)
    try:
        data = read_base64(wanted.image)
    except ValueError as error:
        raise ApiError(400, "invalid_request", f"Invalid request data: image: {error}") from error
    return data, None if wanted.format is None else wanted.format.type
