"""`McpServer`: how an agent uses an MCP server of the settings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class McpServer:
    """An MCP server that `MCP_SERVERS` names; its name alone stands for all of its tools.

    needs_approval: all tools, or those of these names, run only after a person's approval
    tools: names of the tools that the model may call; None: all
    """

    name: str
    needs_approval: bool | Collection[str] = False
    tools: Collection[str] | None = None

    def asks_for(self, tool: str) -> bool:
        """Return true if calls of this tool need an approval."""
        if isinstance(self.needs_approval, bool):
            return self.needs_approval
        return tool in self.needs_approval

    def offers(self, tool: str) -> bool:
        """Return true if the model may call this tool."""
        return self.tools is None or tool in self.tools


def use_of(declared: Sequence[str | McpServer], name: str) -> McpServer:
    """Return how an agent with these servers uses the one of this name."""
    found = (each for each in declared if isinstance(each, McpServer) and each.name == name)
    return next(found, McpServer(name))
