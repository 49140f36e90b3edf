"""Routes of stored calls."""

from __future__ import annotations

import re

from aiohttp import web

from control.api.calls_query import CallsQuery
from control.api.memory import name_in_path, named_team
from control.http.auth import access_of
from control.http.bodies import channel_of, parse_query, respond
from control.http.errors import ApiError
from control.store.archive import Archive
from control.store.errors import UnknownCallError
from control.store.recordings import Recordings
from control.store.records import CallDeleted, CallDetails, CallTimeline
from control.store.store import CALL_ID_PATTERN, Cursor
from control.store.timeline import export_of, timeline_of


class CallsApi:
    """Handlers of stored calls: list, details, transcript, recording, deletion."""

    def __init__(self, archive: Archive, recordings: Recordings) -> None:
        self._archive = archive
        self._recordings = recordings

    async def list_calls(self, request: web.Request) -> web.Response:
        """GET /calls"""
        query = parse_query(request, CallsQuery)
        page = await self._archive.calls(
            limit=query.limit,
            wanted=query.wanted(access_of(request)),
            after=None if query.after is None else Cursor.parse(query.after),
        )
        recorded = await self._recordings.having([call.call_id for call in page.calls])
        calls = [
            call.model_copy(update={"has_recording": call.call_id in recorded})
            for call in page.calls
        ]
        return respond(page.model_copy(update={"calls": calls}))

    async def show_call(self, request: web.Request) -> web.Response:
        """GET /calls/{id}"""
        call = await self._archive.details(_call_id(request), team=_team(request))
        has_recording = await self._recordings.find(call.call_id) is not None
        return respond(call.model_copy(update={"has_recording": has_recording}))

    async def show_transcript(self, request: web.Request) -> web.Response:
        """GET /calls/{id}/transcript"""
        return respond(await self._archive.transcript(_call_id(request), team=_team(request)))

    async def show_channel_transcript(self, request: web.Request) -> web.Response:
        """GET /agents/{channel}/transcript"""
        channel_name = channel_of(request)
        team = _team(request)
        return respond(await self._archive.channel_transcript(channel_name, team=team))

    async def show_timeline(self, request: web.Request) -> web.Response:
        """GET /calls/{id}/timeline"""
        call = await self._archive.details(_call_id(request), team=_team(request))
        return respond(await self._timeline(call))

    async def export_call(self, request: web.Request) -> web.Response:
        """GET /calls/{id}/export"""
        team = _team(request)
        call = await self._archive.details(_call_id(request), team=team)
        told = await self._archive.transcript(call.call_id, team=team)
        has_recording = await self._recordings.find(call.call_id) is not None
        timeline = await self._timeline(call)
        answer = respond(export_of(call, told.entries, timeline, has_recording=has_recording))
        name = f"{call.call_id}.json"
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _timeline(self, call: CallDetails) -> CallTimeline:
        marks = await self._archive.marks(call.call_id)
        return timeline_of(call, marks, await self._recordings.levels(call.call_id))

    async def show_recording(self, request: web.Request) -> web.StreamResponse:
        """GET /calls/{id}/recording"""
        path = await self._recordings.find(request.match_info["id"])
        if path is not None and not await self._may_hear(request):
            path = None
        if path is None:
            raise ApiError(404, "no_recording", "no recording of this call")
        headers = {
            "Content-Type": "audio/wav",
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "Cache-Control": "no-store",
        }
        return web.FileResponse(path, headers=headers)

    async def delete_call(self, request: web.Request) -> web.Response:
        """DELETE /calls/{id}"""
        call_id = _call_id(request)
        await self._archive.delete(call_id, team=_team(request))
        return respond(CallDeleted(call_id=call_id))

    async def delete_person(self, request: web.Request) -> web.Response:
        """DELETE /people/{person_id}"""
        person_id = name_in_path(request, "person_id")
        return respond(await self._archive.deletions.person(person_id, named_team(request)))

    async def delete_thread(self, request: web.Request) -> web.Response:
        """DELETE /threads/{thread_id}"""
        thread_id = name_in_path(request, "thread_id")
        return respond(await self._archive.deletions.thread(thread_id, named_team(request)))

    async def _may_hear(self, request: web.Request) -> bool:
        """Return true if the recording is the team's. Who is of no team needs no store for it."""
        if (team := _team(request)) is None:
            return True
        try:
            await self._archive.record(_call_id(request), team=team)
        except UnknownCallError:
            return False
        return True


def _team(request: web.Request) -> str | None:
    return access_of(request).only_team


def _call_id(request: web.Request) -> str:
    """Return the id of the call in the path.

    Raises:
        UnknownCallError: this cannot be a call's id.
    """
    call_id = request.match_info["id"]
    if re.fullmatch(CALL_ID_PATTERN, call_id, re.ASCII) is None:
        raise UnknownCallError
    return call_id
