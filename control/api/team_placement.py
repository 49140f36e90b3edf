"""`TeamPlacement`: the agents that one request sees, those of its team."""

from __future__ import annotations

from control.keys.access import Access
from control.placement import AgentStatus, ExitRecord, NotRunningError, Placement
from conversation.events.commands import CommandResult, LiveCommand


class TeamPlacement:
    """As `Placement`, for one request: agents of other teams are as if they did not exist."""

    def __init__(self, placement: Placement, access: Access) -> None:
        self._placement = placement
        self._access = access

    def list(self) -> list[AgentStatus]:
        """See `Placement.list`."""
        return [one for one in self._placement.list() if self._access.sees(one.team)]

    def status(self, channel_name: str) -> AgentStatus:
        """See `Placement.status`."""
        status = self._placement.status(channel_name)
        if not self._access.sees(status.team):
            raise NotRunningError
        return status

    async def command(self, channel_name: str, command: LiveCommand) -> CommandResult:
        """See `Placement.command`."""
        # Nothing is awaited before the placement picks the agent: it is the one that was looked at.
        self.status(channel_name)
        return await self._placement.command(channel_name, command)

    async def stop(self, channel_name: str) -> ExitRecord:
        """See `Placement.stop`."""
        self.status(channel_name)
        return await self._placement.stop(channel_name)
