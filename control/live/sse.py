"""`GET /agents/{channel}/events`: a call's event stream as server-sent events."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from control.api.bodies import channel_of
from control.api.console import SECURITY_HEADERS
from control.api.errors import ApiError
from control.live.streams import (
    Reader,
    Streams,
    Told,
    TooManyReadersError,
    UnknownEventIdError,
)
from control.placement import NotRunningError

HEARTBEAT_S: Final = 15.0
WRITE_DEADLINE_S: Final = 10.0
"""A reader that takes nothing for so long is cut; it may come back with its last id."""

_RETRY_MS: Final = 1_000
_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # of a proxy before us
}


class EventsApi:
    """The one operation."""

    def __init__(
        self,
        streams: Streams,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        write_deadline_s: float = WRITE_DEADLINE_S,
    ) -> None:
        self._streams = streams
        self._heartbeat_s = heartbeat_s
        self._write_deadline_s = write_deadline_s

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /agents/{channel}/events"""
        reader = self._reader(request)
        if reader.is_done:
            # By which an EventSource knows not to come again.
            return web.Response(status=204)
        if request.method == "HEAD":
            return web.Response(headers=_HEADERS)
        try:
            with reader:
                return await self._stream(request, reader)
        except TooManyReadersError:
            text = "this agent's events have too many readers: close one"
            raise ApiError(429, "too_many_streams", text, retry_after_s=5) from None

    def _reader(self, request: web.Request) -> Reader:
        last_event_id = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
        try:
            reader = self._streams.reader(channel_of(request), last_event_id)
        except UnknownEventIdError:
            text = "Last-Event-ID: take an id of this stream, or 0 for all that is left"
            raise ApiError(400, "invalid_request", text) from None
        if reader is None:
            raise NotRunningError
        return reader

    async def _stream(self, request: web.Request, reader: Reader) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        try:
            await self._write(response, f"retry: {_RETRY_MS}\n\n")
            while not reader.is_done:
                await self._write(response, await self._next(reader))
            await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        return response

    async def _next(self, reader: Reader) -> str:
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await reader.wait_news()
        except TimeoutError:
            return ": heartbeat\n\n"
        return "".join(map(_serialize, reader.take()))

    async def _write(self, response: web.StreamResponse, text: str) -> None:
        async with asyncio.timeout(self._write_deadline_s):
            await response.write(text.encode())


def _serialize(told: Told) -> str:
    # JSON has no line breaks of its own.
    head = "" if told.event_id is None else f"id: {told.event_id}\n"
    return f"{head}data: {told.data}\n\n"
