"""Requests in, answers out: JSON and query strings as checked models."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from config import is_channel_name
from control.api.errors import ApiError, invalid_request
from httpd.bodies import read_body
from json_reader import InvalidJsonError, read_json
from validation import MAX_VALUES, has_many_values

BODY_TIMEOUT_S: Final = 10.0
MAX_BODY_BYTES: Final = 256 * 1024

M = TypeVar("M", bound=BaseModel)


def channel_of(request: web.Request) -> str:
    """The channel that the path names.

    Raises:
        ApiError: 400, it is none.
    """
    channel_name = request.match_info["channel"]
    if not is_channel_name(channel_name):
        raise ApiError(400, "invalid_request", "this is not a channel name")
    return channel_name


def respond(answer: BaseModel, *, status: int = 200) -> web.Response:
    """`answer` as JSON."""
    return web.Response(
        status=status, text=answer.model_dump_json(), content_type="application/json"
    )


async def parse_body(request: web.Request, model: type[M]) -> M:
    """The request's JSON as `model`.

    Raises:
        ApiError: 415 other content type, 400 malformed or invalid.
        BodyError: it cannot be had.
    """
    if request.content_type != "application/json":
        text = "the body must be JSON: Content-Type: application/json"
        raise ApiError(415, "unsupported_media_type", text)
    body = await read_body(request, max_bytes=MAX_BODY_BYTES, timeout_s=BODY_TIMEOUT_S)
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
    """The request's query string as `model`.

    Raises:
        ApiError: 400, a parameter is unknown or wrong.
    """
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise invalid_request(error) from error
