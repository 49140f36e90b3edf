"""Services of an agent for its tools."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol


class ToolServices(Protocol):
    """The agent, as seen by a tool."""

    async def say(self, text: str) -> None:
        """Have the agent speak `text` when it next has the floor."""
        ...

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run a coroutine in the background, at most as long as the agent lives."""
        ...

    def take_past_outputs(self, name: str) -> list[str]:
        """Return the outputs of this tool in lost processes of this call, oldest first.

        They are returned once, to the first tool set that has the tool.
        """
        ...


class NoServices:
    """Null services, for inspecting a tool set whose tools never run."""

    async def say(self, text: str) -> None:
        """Do nothing."""

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:  # noqa: ARG002
        """Close the coroutine without running it."""
        coroutine.close()

    def take_past_outputs(self, name: str) -> list[str]:  # noqa: ARG002
        """Return no outputs."""
        return []
