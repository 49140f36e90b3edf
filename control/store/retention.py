"""How long calls are kept: so many days, so many calls. Live ones always are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from control.store.store import Store

SWEEP_S: Final = 3600.0
_BATCH: Final = 100
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True)
class Retention:
    """Zero means no limit. days: since a call began; calls: of all servers of the store"""

    days: float = 0.0
    calls: int = 0

    async def sweep(self, store: Store, *, now_ms: int) -> AsyncIterator[list[str]]:
        """Delete what is kept no longer, some calls at a time; yields their ids."""
        while call_ids := await self._next(store, now_ms):
            await store.delete(call_ids)
            yield call_ids

    async def _next(self, store: Store, now_ms: int) -> list[str]:
        found: list[str] = []
        if self.days:
            found = await store.ended_before(int(now_ms - self.days * _DAY_MS), _BATCH)
        if self.calls and not found:
            found = await store.ended_beyond(self.calls, _BATCH)
        return found


FOREVER: Final = Retention()
