"""Handoff of a conversation to another agent definition of the server: its instructions, tools and
voice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from conversation.events import server_events as out
from realtime.events import UpdateSettings
from realtime.model import UnsupportedCommandError
from session.context import SessionContext
from tools import ToolContext, ToolError
from toolsets.definitions import MAIN, TRANSFER_PREFIX, AgentDefinition
from toolsets.registry import build_toolset
from toolsets.services import ToolServices

_MAIN_DESCRIPTION: Final = "Hand the conversation back to the agent that answered the call."


class Handoff:
    """Gives every agent the tools `transfer_to_NAME`. The conversation itself goes on unchanged."""

    def __init__(
        self,
        context: SessionContext,
        tools: ToolContext,
        services: ToolServices,
        *,
        main_instructions: Callable[[], str | None],
    ) -> None:
        """tools: those of the conversation; a handoff changes them in place"""
        self._context = context
        self._tools = tools
        self._services = services
        self._main_instructions = main_instructions
        self._agents = {agent.name: agent for agent in context.config.agents}
        self._own_tools: dict[str, ToolContext] = {}
        self._current = MAIN
        self._offer_transfers(tools, MAIN)

    def _offer_transfers(self, tools: ToolContext, name: str) -> None:
        """Register the transfer tools of the agent `name`: one for each other agent."""
        descriptions = {MAIN: _MAIN_DESCRIPTION} | {
            agent.name: agent.description for agent in self._agents.values()
        }
        for other, description in descriptions.items():
            if other != name:
                tools.register_function(TRANSFER_PREFIX + other, description, self._to(other), {})

    def _to(self, name: str) -> Callable[[], Awaitable[str]]:
        async def transfer() -> str:
            await self._transfer(name)
            return "You are this agent now. Go on with the conversation as your instructions say."

        return transfer

    async def _transfer(self, name: str) -> None:
        if name == self._current:
            return
        # Copied now: the tools of an MCP server are registered after the start.
        self._own_tools.setdefault(MAIN, self._tools.copy())
        agent, tools = self._agents.get(name), self._tools_of(name)
        changes: dict[str, Any] = {
            "instructions": agent.instructions if agent else self._main_instructions(),
            "tools": tuple(tools.model_description()),
        }
        try:
            await self._context.model.send(UpdateSettings(changes))
        except UnsupportedCommandError as error:
            raise ToolError(f"this model cannot hand over within a call: {error}") from error
        self._tools.adopt(tools)
        previous, self._current = self._current, name
        await self._change_voice(agent.voice if agent else self._context.config.voice)
        self._context.log.info("handed over from %s to %s", previous, name)
        self._context.publisher.publish(out.AgentHandedOver, previous=previous, current=name)

    def _tools_of(self, name: str) -> ToolContext:
        if name not in self._own_tools:
            self._own_tools[name] = self._create_tools(self._agents[name])
        return self._own_tools[name]

    def _create_tools(self, agent: AgentDefinition) -> ToolContext:
        tools = build_toolset(agent.toolset, self._services) if agent.toolset else ToolContext()
        self._offer_transfers(tools, agent.name)
        tools.hosted = self._tools.hosted
        return tools

    async def _change_voice(self, voice: str | None) -> None:
        """Providers refuse another voice once something was said."""
        has_spoken = any(item.received_ms > 0 for item in self._context.history.items)
        if voice is None or has_spoken:
            return
        try:
            await self._context.model.send(UpdateSettings({"voice": voice}))
        except UnsupportedCommandError as error:
            self._context.log.info("the voice stays: %s", error)
