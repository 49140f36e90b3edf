"""The routes that show what is stored of calls."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator

from config import ChannelName, ThreadId
from control.api.bodies import channel_of, parse_query, respond
from control.api.errors import ApiError
from control.store.archive import Archive
from control.store.errors import UnknownCallError
from control.store.recordings import Recordings
from control.store.records import CallDeleted
from control.store.store import CALL_ID_PATTERN, Cursor

MAX_PAGE: Final = 200


class CallsQuery(BaseModel):
    """Which calls to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: ChannelName | None = None
    thread: ThreadId | None = None
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    after: str | None = Field(default=None, description="`next` of the page before")

    @field_validator("after")
    @classmethod
    def _check_after(cls, value: str | None) -> str | None:
        if value is not None:
            Cursor.parse(value)
        return value


class CallsApi:
    """One method per operation of `operations.OPERATIONS`, under the operation's name."""

    def __init__(self, archive: Archive, recordings: Recordings) -> None:
        self._archive = archive
        self._recordings = recordings

    async def list_calls(self, request: web.Request) -> web.Response:
        """GET /calls"""
        query = parse_query(request, CallsQuery)
        page = await self._archive.calls(
            limit=query.limit,
            channel_name=query.channel,
            thread_id=query.thread,
            after=None if query.after is None else Cursor.parse(query.after),
        )
        return respond(page)

    async def show_call(self, request: web.Request) -> web.Response:
        """GET /calls/{id}"""
        return respond(await self._archive.details(_call_id(request)))

    async def show_transcript(self, request: web.Request) -> web.Response:
        """GET /calls/{id}/transcript"""
        return respond(await self._archive.transcript(_call_id(request)))

    async def show_channel_transcript(self, request: web.Request) -> web.Response:
        """GET /agents/{channel}/transcript"""
        return respond(await self._archive.channel_transcript(channel_of(request)))

    async def show_recording(self, request: web.Request) -> web.StreamResponse:
        """GET /calls/{id}/recording"""
        path = await self._recordings.find(request.match_info["id"])
        if path is None:
            raise ApiError(404, "no_recording", "there is no recording of such a call")
        headers = {
            "Content-Type": "audio/wav",
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "Cache-Control": "no-store",
        }
        return web.FileResponse(path, headers=headers)

    async def delete_call(self, request: web.Request) -> web.Response:
        """DELETE /calls/{id}"""
        call_id = _call_id(request)
        await self._archive.delete(call_id)
        return respond(CallDeleted(call_id=call_id))


def _call_id(request: web.Request) -> str:
    """The call that the path names.

    Raises:
        UnknownCallError: no call has such an id.
    """
    call_id = request.match_info["id"]
    if re.fullmatch(CALL_ID_PATTERN, call_id, re.ASCII) is None:
        raise UnknownCallError
    return call_id
