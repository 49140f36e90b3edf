"""Requests in, answers out: JSON and query strings as checked models."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from config import is_channel_name
from control.api.errors import ApiError, invalid_request

BODY_TIMEOUT_S: Final = 10.0

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
        ApiError: 415 other content type, 400 malformed or invalid, 408 it does not come;
            413 comes from aiohttp.
    """
    if request.content_type != "application/json":
        text = "the body must be JSON: Content-Type: application/json"
        raise ApiError(415, "unsupported_media_type", text)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
    except TimeoutError as error:
        text = f"the body did not come within {BODY_TIMEOUT_S:g} s"
        raise ApiError(408, "body_timeout", text) from error
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from error


def parse_query(request: web.Request, model: type[M]) -> M:
    """The request's query string as `model`.

    Raises:
        ApiError: 400, a parameter is unknown or wrong.
    """
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise invalid_request(error) from error
