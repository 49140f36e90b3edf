"""JSON bodies and query strings as validated models, and JSON answers."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from control.http.errors import ApiError, invalid_request
from http_server.bodies import read_body
from rtc.identifiers import is_channel_name
from untrusted.json_reader import InvalidJsonError, read_json
from untrusted.validation import MAX_VALUES, has_many_values

BODY_TIMEOUT_S: Final = 10.0
MAX_BODY_BYTES: Final = 256 * 1024

M = TypeVar("M", bound=BaseModel)


def channel_of(request: web.Request) -> str:
    """Return the channel name in the path.

    Raises:
        ApiError: 400, it is not a channel name.
    """
    channel_name = request.match_info["channel"]
    if not is_channel_name(channel_name):
        raise ApiError(400, "invalid_request", "not a channel name")
    return channel_name


def respond(answer: BaseModel, *, status: int = 200) -> web.Response:
    """Return `answer` as JSON."""
    return web.Response(
        status=status, text=answer.model_dump_json(), content_type="application/json"
    )


async def parse_body(request: web.Request, model: type[M], *, max_bytes: int = MAX_BODY_BYTES) -> M:
    """Parse the request's JSON body as `model`.

    Raises:
        ApiError: 415 wrong content type, 400 malformed or invalid.
        BodyError: the body cannot be read.
    """
    if request.content_type != "application/json":
        text = "the body must be JSON: Content-Type: application/json"
        raise ApiError(415, "unsupported_media_type", text)
    body = await read_body(request, max_bytes=max_bytes, timeout_s=BODY_TIMEOUT_S)
    document = _parse(body)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_request(error) from error


def _parse(body: bytes) -> Any:
    try:
        document = read_json(body)
    except InvalidJsonError as error:
        raise ApiError(400, "invalid_request", f"Invalid request data: {error}") from error
    if has_many_values(document):
        text = f"Invalid request data: more than {MAX_VALUES} values"
        raise ApiError(400, "invalid_request", text)
    return document


def parse_query(request: web.Request, model: type[M]) -> M:
    """Parse the request's query string as `model`.

    Raises:
        ApiError: 400, a parameter is unknown or invalid.
    """
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise invalid_request(error) from error
