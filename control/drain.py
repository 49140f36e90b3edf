"""Draining: nothing new is started, calls may end by themselves for a while, then they are ended."""

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
    """Begun by a request or by the server's end; final. Begun again it can only be hurried."""

    def __init__(
        self, placement: Placement, deadline_s: float, release: Callable[[], Awaitable[None]]
    ) -> None:
        """
        deadline_s: how long calls may go on, where nothing else is said
        release: frees what only new agents need
        """
        self._placement = placement
        self._deadline_s = deadline_s
        self._release = release
        self._tasks = OwnedTasks(_log)

    def begin(self, deadline_s: float | None = None) -> DrainAnswer:
        """Refuse starts from now on; the rest goes on in the background."""
        self._placement.refuse_starts()
        wanted_s = self._deadline_s if deadline_s is None else deadline_s
        self._tasks.start(self.run(wanted_s), name="drain")
        agents = len(self._placement.list())
        return DrainAnswer(agents=agents, deadline_s=wanted_s)

    async def run(self, deadline_s: float | None = None) -> None:
        """Drain; returns when no agent is left."""
        wanted_s = self._deadline_s if deadline_s is None else deadline_s
        _log.info("draining: calls may go on for %g s", wanted_s)
        self._placement.refuse_starts()
        await self._release()
        await self._placement.drain(wanted_s, ExitReason.DRAINED)
        _log.info("drained")

    async def close(self) -> None:
        """Leave it to others to end what still runs."""
        await self._tasks.close()
