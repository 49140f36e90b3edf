"""`GET /agents/{channel}/events`: a call's event stream as server-sent events."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from control.api.console import SECURITY_HEADERS
from control.event_stream.streams import (
    Reader,
    StreamItem,
    Streams,
    TooManyReadersError,
    UnknownEventIdError,
)
from control.http.audit import AUDITED
from control.http.auth import ApiKeys, access_of
from control.http.bodies import channel_of
from control.http.errors import ApiError
from control.placement import NotRunningError

HEARTBEAT_S: Final = 15.0
WRITE_DEADLINE_S: Final = 10.0
"""A reader that takes nothing for this long is disconnected; it may resume with its last id."""

_RETRY_MS: Final = 1_000
_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # for a proxy in front
}


class EventsApi:
    """Handler of the event stream."""

    def __init__(
        self,
        streams: Streams,
        keys: ApiKeys,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        write_deadline_s: float = WRITE_DEADLINE_S,
    ) -> None:
        self._streams = streams
        self._keys = keys
        self._heartbeat_s = heartbeat_s
        self._write_deadline_s = write_deadline_s

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /agents/{channel}/events"""
        reader = self._reader(request)
        if reader.is_done:
            # 204 stops an EventSource from reconnecting.
            return web.Response(status=204)
        if request.method == "HEAD":
            return web.Response(headers=_HEADERS)
        try:
            with reader:
                if (audited := request.get(AUDITED)) is not None:
                    audited.access = access_of(request)
                    audited.record(200)
                return await self._stream(request, reader)
        except TooManyReadersError:
            text = "too many readers of this agent's events: close one"
            raise ApiError(429, "too_many_streams", text, retry_after_s=5) from None

    def _reader(self, request: web.Request) -> Reader:
        last_event_id = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
        try:
            team = access_of(request).only_team
            reader = self._streams.reader(channel_of(request), last_event_id, team=team)
        except UnknownEventIdError:
            text = "Last-Event-ID: take an id of this stream, or 0 for all that is left"
            raise ApiError(400, "invalid_request", text) from None
        if reader is None:
            raise NotRunningError
        return reader

    async def _stream(self, request: web.Request, reader: Reader) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        clock = asyncio.get_running_loop().time
        checked_s = clock()
        try:
            await self._write(response, f"retry: {_RETRY_MS}\n\n")
            while not reader.is_done:
                text = await self._next(reader)
                if clock() - checked_s >= self._heartbeat_s:
                    checked_s = clock()
                    if not self._keys.still_grants(request.headers, access_of(request)):
                        break
                await self._write(response, text)
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


def _serialize(item: StreamItem) -> str:
    # Serialized JSON contains no line breaks.
    head = "" if item.event_id is None else f"id: {item.event_id}\n"
    return f"{head}data: {item.data}\n\n"
