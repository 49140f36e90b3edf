"""Draining: starts are refused, live calls get a deadline to end, then they are stopped."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from control.api.schemas import DrainAnswer
from control.placement import Placement
from conversation.lifecycle import ExitReason
from utils import OwnedTasks

_log: Final = logging.getLogger("control.drain")


class Drain:
    """Drain of a server, by a request or at its end. Final; a second drain can only shorten it."""

    def __init__(
        self, placement: Placement, deadline_s: float, release: Callable[[], Awaitable[None]]
    ) -> None:
        """
        Args:
            deadline_s: default time that calls may go on.
            release: frees resources that only new agents need.
        """
        self._placement = placement
        self._deadline_s = deadline_s
        self._release = release
        self._tasks = OwnedTasks(_log)

    def begin(self, deadline_s: float | None = None) -> DrainAnswer:
        """Refuse starts from now on; the drain runs in the background."""
        self._placement.refuse_starts()
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        self._tasks.start(self.run(limit_s), name="drain")
        agents = len(self._placement.list())
        return DrainAnswer(agents=agents, deadline_s=limit_s)

    async def run(self, deadline_s: float | None = None) -> None:
        """Drain; return when no agent is left."""
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        _log.info("draining: live calls may go on for %g s", limit_s)
        self._placement.refuse_starts()
        await self._release()
        await self._placement.drain(limit_s, ExitReason.DRAINED)
        _log.info("drained")

    async def close(self) -> None:
        """Stop the background drain; running agents are left to the caller."""
        await self._tasks.close()
