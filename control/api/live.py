"""Handlers of commands to a live agent."""

from __future__ import annotations

from aiohttp import web

from control.api.images import parse_image
from control.api.live_schemas import (
    ApproveRequest,
    InterruptRequest,
    LiveAnswer,
    MuteRequest,
    SayRequest,
    TextRequest,
    ToolResultRequest,
    UpdateRequest,
)
from control.api.team_placement import TeamPlacement
from control.http.auth import access_of
from control.http.bodies import channel_of, parse_body, respond
from control.placement import Placement
from conversation.events.commands import LiveCommand


class LiveApi:
    """Handlers of commands to a live agent."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    async def say(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/say"""
        return await self._carry_out(request, (await parse_body(request, SayRequest)).command())

    async def interrupt(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/interrupt"""
        wanted = InterruptRequest()
        if request.can_read_body:
            wanted = await parse_body(request, InterruptRequest)
        return await self._carry_out(request, wanted.command())

    async def text(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/text"""
        return await self._carry_out(request, (await parse_body(request, TextRequest)).command())

    async def image(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/image"""
        channel_of(request)
        return await self._carry_out(request, await parse_image(request))

    async def update(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/update"""
        return await self._carry_out(request, (await parse_body(request, UpdateRequest)).command())

    async def tool_result(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/tool_result"""
        wanted = await parse_body(request, ToolResultRequest)
        return await self._carry_out(request, wanted.command())

    async def mute(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/mute"""
        return await self._carry_out(request, (await parse_body(request, MuteRequest)).command())

    async def approve(self, request: web.Request) -> web.Response:
        """POST /agents/{channel}/approve"""
        wanted = await parse_body(request, ApproveRequest)
        return await self._carry_out(request, wanted.command())

    async def _carry_out(self, request: web.Request, command: LiveCommand) -> web.Response:
        channel_name = channel_of(request)
        agents = TeamPlacement(self._placement, access_of(request))
        result = await agents.command(channel_name, command)
        answer = LiveAnswer(
            channel_name=channel_name,
            agent_id=agents.status(channel_name).agent_id,
            was_speaking=result.was_speaking,
            item_id=result.item_id,
        )
        return respond(answer)
