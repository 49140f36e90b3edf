"""The handlers of what programs ask of a live agent."""

from __future__ import annotations

from aiohttp import web

from control.api.bodies import channel_of, parse_body, respond
from control.live.schemas import (
    ApproveRequest,
    InterruptRequest,
    LiveAnswer,
    MuteRequest,
    SayRequest,
    TextRequest,
    ToolResultRequest,
    UpdateRequest,
)
from control.placement import Placement
from conversation.live_commands import LiveCommand


class LiveApi:
    """One method per operation, under the operation's name."""

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
        result = await self._placement.command(channel_name, command)
        answer = LiveAnswer(
            channel_name=channel_name,
            agent_id=self._placement.status(channel_name).agent_id,
            was_speaking=result.was_speaking,
            item_id=result.item_id,
        )
        return respond(answer)
