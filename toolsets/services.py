"""What tools may use of the agent that they serve."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol


class ToolServices(Protocol):
    """The agent, as seen by a tool."""

    async def say(self, text: str) -> None:
        """Have the agent speak `text` when it next has the floor."""
        ...

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run something in the background, at most for as long as the agent lives."""
        ...

    def take_past_outputs(self, name: str) -> list[str]:
        """What calls of this tool returned in processes of this call that were lost, oldest first.
        Told once: to the first tool set that has the tool.
        """
        ...


class NoServices:
    """For looking at a tool set whose tools will never run."""

    async def say(self, text: str) -> None:
        """Nobody would hear it."""

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:  # noqa: ARG002
        """Nothing runs."""
        coroutine.close()

    def take_past_outputs(self, name: str) -> list[str]:  # noqa: ARG002
        """Nothing was before."""
        return []
