"""Handoff of a conversation to another definition of the owner: with its instructions, tools, voice,
guardrails and hooks, and its provider and model if it brings some.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol

from config.agent import AgentConfig
from config.handoff import HandoffConfig
from conversation.events import server_events as out
from conversation.lifecycle import AgentStartError
from conversation.prompt import PromptError, fill
from parley.agent import Agent
from parley.call import CallError
from parley.handoffs import handoff_names
from parley.mcp_server import use_of
from realtime.events import UpdateSettings
from realtime.model import (
    ModelConnectError,
    ModelSettings,
    RealtimeModel,
    UnsupportedCommandError,
)
from realtime.resilience.model import ModelSource
from session.context import SessionContext
from session.definition import with_key_of
from session.model_setup import model_source, opening_config
from session.owner import Owner
from session.owner_tools import register_tools
from session.turn_policy import TurnPolicy
from tools import ToolContext, ToolDeclarationError, ToolError
from toolsets.definitions import TRANSFER_PREFIX
from toolsets.http_calls import HttpCalls
from toolsets.mcp import McpServerError, McpTools, open_all
from toolsets.registry import build_toolset
from toolsets.services import ToolServices

_TAKEN_OVER: Final = "You are this agent now. Go on with the conversation as your instructions say."


class ChangeableModel(Protocol):
    """The part of `ResilientModel` that a handoff to another provider needs."""

    async def change_over(self, source: ModelSource, settings: ModelSettings) -> None:
        """Go on with another source at the next pause.

        Raises:
            ModelConnectError: the present session goes on.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Floor:
    """The agent that has the floor. tools: its own, with the transfers that it may make"""

    agent: Agent
    config: AgentConfig
    settings: ModelSettings


class DefinitionHandoff:
    """Gives each agent the tools `transfer_to_NAME` of its handoffs."""

    def __init__(
        self,
        context: SessionContext,
        owner: Owner,
        model: ChangeableModel,
        tools: ToolContext,
        services: ToolServices,
        http: HttpCalls,
        *,
        agents: Mapping[str, Agent],
        create: Callable[[], RealtimeModel] | None = None,
    ) -> None:
        """
        tools: those of the conversation; a handoff changes them in place
        agents: all that can be reached from the one that begins, itself included
        create: makes sessions of the model with which the call begins; None: by its provider
        """
        self._create = create
        self._context = context
        self._owner = owner
        self._model = model
        self._tools = tools
        self._services = services
        self._http = http
        self._agents = dict(agents)
        self._first = owner.definition
        self._mcp: list[McpTools] = []
        self._own_tools: dict[str, ToolContext] = {}
        self._floor: _Floor | None = None
        self._turn = asyncio.Lock()
        self._offer_transfers(tools, self._first)

    @property
    def names(self) -> list[str]:
        """Names of all agents that can have the floor."""
        return list(self._agents)

    def require_models(self) -> None:
        """
        Raises:
            AgentStartError: an agent needs what its model does not do.
        """
        outside = self._context.model.capabilities
        policy = TurnPolicy.of(self._context.config, outside)
        for agent in self._agents.values():
            capabilities = outside
            if (provider := self._given(agent).provider) is not None:
                inside = model_source("", provider, self._context.config).create().capabilities
                capabilities = inside if outside.has_turn_control else outside
            self._owner.require_model(policy, capabilities, agent)

    def begin(self, config: AgentConfig, settings: ModelSettings) -> None:
        """Note with what the first agent has begun."""
        self._floor = _Floor(self._first, config, settings)

    async def resume(self, name: str) -> None:
        """Give the floor to the agent that had it when an earlier process was lost."""
        if name in self._agents:
            with contextlib.suppress(CallError):  # reported; the first agent goes on
                await self.hand_over(name, is_published=False)

    async def hand_over(self, name: str, *, is_published: bool = True) -> None:
        """Give the floor to the agent `name`. On failure the present one keeps it.

        Raises:
            CallError: the agent is unknown, its code failed, or its provider cannot be reached.
        """
        async with self._turn:
            target, floor = self._agents.get(name), self._floor
            if target is None or floor is None:
                known = ", ".join(one for one in self._agents if one != self._owner.definition.name)
                text = f"handoff: there is no agent {name}; there is {known or 'no other'}"
                raise CallError("unknown_agent", text)
            if target is floor.agent:
                return
            try:
                await self._give(target, floor)
            except CallError as error:
                self._owner.code.report("handoff", name, str(error), "")
                raise
            if is_published:
                self._context.publisher.publish(
                    out.AgentHandedOver, previous=floor.agent.name, current=name
                )

    async def _give(self, target: Agent, floor: _Floor) -> None:
        config = await self._config_of(target)
        tools = await self._tools_of(target)
        source = self._source_of(target, config)
        needs_session = self._needs_session(floor, config)
        capabilities = self._context.model.capabilities
        if needs_session:
            capabilities = source.create().capabilities
        settings = opening_config(config, capabilities, tools, self._context.log).settings
        if needs_session:
            await self._change_over(source, settings)
        else:
            try:
                await self._context.model.send(UpdateSettings(_changes(floor.settings, settings)))
            except UnsupportedCommandError:
                await self._change_over(source, settings)
        self._own_tools.setdefault(floor.agent.name, self._tools.copy())
        self._tools.adopt(tools)
        self._floor = _Floor(target, config, settings)
        self._owner.take_floor(target)
        self._context.log.info("handed over from %s to %s", floor.agent.name, target.name)

    def _source_of(self, agent: Agent, config: AgentConfig) -> ModelSource:
        create = self._create if config.provider == self._context.config.provider else None
        return model_source(f"agent {agent.name}", config.provider, config, create)

    def _needs_session(self, floor: _Floor, config: AgentConfig) -> bool:
        if floor.config.provider != config.provider:
            return True
        # Providers refuse another voice in a session that has spoken.
        has_spoken = any(item.received_ms > 0 for item in self._context.history.items)
        return has_spoken and config.voice is not None and config.voice != floor.config.voice

    async def _change_over(self, source: ModelSource, settings: ModelSettings) -> None:
        try:
            await self._model.change_over(source, settings)
        except ModelConnectError as error:
            text = f"handoff: the provider of {source.name} cannot be reached: {error}"
            raise CallError("provider_unreachable", text) from error

    # -- what an agent brings ----------------------------------------------------------------------

    def _given(self, agent: Agent) -> HandoffConfig:
        return self._context.config.handoffs.get(agent.name) or HandoffConfig()

    async def _config_of(self, agent: Agent) -> AgentConfig:
        """Return the configuration of the call as it is with this agent."""
        start = self._context.config
        if agent is self._first:
            text = start.system_message or await self._instructions(agent)
            return start.model_copy(update={"system_message": text})
        given = self._given(agent)
        if given.provider is None and (agent.provider or agent.model):
            text = f"handoff: agent {agent.name} has a provider or model that is not configured"
            raise CallError("provider_not_configured", text)
        has_own = given.provider is not None
        changes = {
            "provider": with_key_of(given.provider or start.provider, agent),
            "voice": agent.voice or (None if has_own else start.voice),
            "language": agent.language or start.language,
            "system_message": await self._instructions(agent),
            "skills": given.skills,
            "model_settings": dict(
                agent.model_settings or ({} if has_own else start.model_settings)
            ),
            "turn_detection": (
                dict(agent.turn_detection) if agent.turn_detection else start.turn_detection
            ),
        }
        return start.model_copy(update=changes)

    async def _instructions(self, agent: Agent) -> str | None:
        try:
            text = await self._owner.instructions(agent)
            is_template = isinstance(agent.instructions, str)
            return fill(text, self._context.config.metadata) if text and is_template else text
        except AgentStartError as error:
            raise CallError(error.code, f"handoff: {error}") from error
        except PromptError as error:
            raise CallError("instructions_failed", f"handoff: {agent.name}: {error}") from error

    async def _tools_of(self, agent: Agent) -> ToolContext:
        if agent.name not in self._own_tools:
            try:
                self._own_tools[agent.name] = await self._create_tools(agent)
            except (ToolDeclarationError, ValueError, McpServerError) as error:
                raise CallError("tools_failed", f"handoff: {agent.name}: {error}") from error
        return self._own_tools[agent.name]

    async def _create_tools(self, agent: Agent) -> ToolContext:
        tools = ToolContext()
        if self._given(agent).provider is None:
            tools.hosted = self._tools.hosted
        for name in agent.toolsets:
            tools.add_all(build_toolset(name, self._services))
        register_tools(agent, tools, self._owner.call, http=self._http)
        self._offer_transfers(tools, agent)
        opened: list[McpTools] = []
        for server in self._given(agent).mcp_servers:
            use = use_of(agent.mcp_servers, server.name)
            mcp = McpTools(server, tools, asks_for=use.asks_for, offers=use.offers)
            opened.append(mcp)
        self._mcp += opened
        await open_all(opened)
        return tools

    def _offer_transfers(self, tools: ToolContext, agent: Agent) -> None:
        for name in handoff_names(agent):
            target = self._agents[name]
            shown = target.display_name or name
            description = target.description or f"Hand the conversation over to {shown}."
            tools.register_function(TRANSFER_PREFIX + name, description, self._to(name), {})

    def _to(self, name: str) -> Callable[[], Any]:
        async def transfer() -> str:
            try:
                await self.hand_over(name)
            except CallError as error:
                raise ToolError(str(error)) from error
            return _TAKEN_OVER

        return transfer

    async def close(self) -> None:
        """End the MCP servers that were opened."""
        for mcp in self._mcp:
            await mcp.close()


def _changes(before: ModelSettings, after: ModelSettings) -> dict[str, Any]:
    """Return the settings that differ, and are set."""
    return {
        each.name: value
        for each in fields(ModelSettings)
        if (value := getattr(after, each.name)) != getattr(before, each.name) and value is not None
    }
