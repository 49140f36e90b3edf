"""Retention of calls by age and number. Live calls are always kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from control.store.errors import NotDeletedError
from control.store.store import Store

SWEEP_S: Final = 3600.0

ODD_CLOCK_S: Final = 60.0
"""Interval of checks while the clock is implausible."""

_BATCH: Final = 100
_LARGEST_SHARE: Final = 0.1
"""Largest share of all calls deleted in one sweep (at least a batch), so that a mistake is noticed early."""

_DAY_MS: Final = 24 * 3600 * 1000
_ALLOWED_SHARE: Final = 0.1
_ALLOWED_DAYS_WITHOUT_LIMIT: Final = 3.0
_LEAST_ALLOWED_MS: Final = 3_600_000

Forget = Callable[[list[str]], Awaitable[object]]
"""Deletes these calls with all their data; raises `NotDeletedError`."""


@dataclass(frozen=True)
class Retention:
    """Limits; zero means none. days: since a call began; calls: of all servers of the store."""

    days: float = 0.0
    calls: int = 0

    @property
    def allowed_clock_error_ms(self) -> int:
        """Tolerated clock deviation: a tenth of the days."""
        days = self.days * _ALLOWED_SHARE if self.days else _ALLOWED_DAYS_WITHOUT_LIMIT
        return max(_LEAST_ALLOWED_MS, int(days * _DAY_MS))

    async def sweep(self, store: Store, forget: Forget, *, now_ms: int) -> int:
        """Delete calls past the limits, at most a share of all; return their number."""
        left = max(_BATCH, int(await store.count() * _LARGEST_SHARE))
        deleted, kept = 0, set[str]()
        while left > deleted:
            call_ids = await self._next(store, now_ms, min(_BATCH, left - deleted), kept)
            if not call_ids:
                break
            try:
                await forget(call_ids)
                deleted += len(call_ids)
            except NotDeletedError as error:
                # The remaining ones are tried next.
                kept |= error.call_ids
        return deleted

    async def _next(self, store: Store, now_ms: int, limit: int, kept: set[str]) -> list[str]:
        found: list[str] = []
        if self.days:
            before_ms = int(now_ms - self.days * _DAY_MS)
            found = await store.ended_before(before_ms, limit, kept)
        if self.calls and not found:
            found = await store.ended_beyond(self.calls, limit, kept)
        return found


FOREVER: Final = Retention()
