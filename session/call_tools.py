"""Tools of a call: those of its configuration, of the owner's definitions, and of MCP servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from config.agent import AgentConfig
from parley.agent import Agent
from parley.call import Call
from parley.mcp_server import use_of
from session.definition import Definitions
from session.owner_tools import register_tools
from tools import ToolContext
from toolsets.http_calls import HttpCalls
from toolsets.mcp import McpTools, open_all
from toolsets.mcp_server import McpServer
from toolsets.registry import build_toolset
from toolsets.services import ToolServices


class CallTools:
    """Builds the tools of a call, and keeps the MCP servers that some of them come from.

    Attributes:
        context: Runs all tools. Of several agents, it has those of each.
        of_member: Tools that the model of each of several agents is offered, by name.
    """

    def __init__(
        self,
        config: AgentConfig,
        definitions: Definitions,
        services: ToolServices,
        *,
        call: Call | None,
        http: HttpCalls,
    ) -> None:
        """
        Raises:
            ToolDeclarationError: Two tools have the same name, or there are too many.
        """
        self._config = config
        self._services = services
        self._call = call
        self._http = http
        self.of_member = {name: self._create(each) for name, each in definitions.members.items()}
        self.context = ToolContext() if self.of_member else self._create(definitions.first)
        self._include_members()
        self._mcp = [*self._mcp_tools(config, definitions)]

    def _create(self, definition: Agent | None) -> ToolContext:
        config = self._config
        toolsets = [config.toolset, *(() if definition is None else definition.toolsets)]
        names = [name for name in dict.fromkeys(toolsets) if name is not None]
        # The deadlines of the first tool set are those of all tools.
        tools = build_toolset(names[0], self._services) if names else ToolContext()
        for name in names[1:]:
            tools.add_all(build_toolset(name, self._services))
        if definition is not None:
            register_tools(definition, tools, self._call, http=self._http)
        for declaration in config.tools:
            tools.register_client_function(declaration)
        tools.hosted = tuple(tool.declaration() for tool in config.hosted_tools)
        return tools

    def _mcp_tools(self, config: AgentConfig, definitions: Definitions) -> Iterable[McpTools]:
        if config.chat_room is None:
            yield from _of_servers(config.mcp_servers, definitions.first, self.context)
            return
        for member in config.chat_room.members:
            definition, tools = definitions.members[member.definition], self.of_member
            yield from _of_servers(member.mcp_servers, definition, tools[member.definition])

    def _include_members(self) -> None:
        for each in self.of_member.values():
            self.context.include(each)

    @property
    def has_servers(self) -> bool:
        """True if tools come from MCP servers, which have to be opened."""
        return bool(self._mcp)

    async def open(self) -> None:
        """Open the MCP servers, and offer their tools.

        Raises:
            McpServerError: One of them cannot be opened.
        """
        await open_all(self._mcp)
        self._include_members()

    async def close(self) -> None:
        """Close the MCP servers."""
        async with asyncio.TaskGroup() as group:
            for mcp in self._mcp:
                group.create_task(mcp.close())


def _of_servers(
    servers: Iterable[McpServer], definition: Agent | None, tools: ToolContext
) -> Iterable[McpTools]:
    declared = () if definition is None else definition.mcp_servers
    for server in servers:
        use = use_of(declared, server.name)
        yield McpTools(server, tools, asks_for=use.asks_for, offers=use.offers)
