"""The routes that show what is stored of calls."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator

from config import ChannelName, ThreadId
from control.bodies import channel_of, parse_query, respond
from control.store.archive import Archive
from control.store.records import CallDeleted
from control.store.store import Cursor

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

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

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
        return respond(await self._archive.details(request.match_info["id"]))

    async def show_transcript(self, request: web.Request) -> web.Response:
        """GET /calls/{id}/transcript"""
        return respond(await self._archive.transcript(request.match_info["id"]))

    async def show_channel_transcript(self, request: web.Request) -> web.Response:
        """GET /agents/{channel}/transcript"""
        return respond(await self._archive.channel_transcript(channel_of(request)))

    async def delete_call(self, request: web.Request) -> web.Response:
        """DELETE /calls/{id}"""
        call_id = request.match_info["id"]
        await self._archive.delete(call_id)
        return respond(CallDeleted(call_id=call_id))
