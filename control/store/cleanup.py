"""`Cleanup`: periodically deletes calls by age and number, and ends calls of servers that are gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from control.store.clock import CONFIRM_S, ClockCheck
from control.store.data_folder import DataFolder
from control.store.errors import first_line
from control.store.retention import ODD_CLOCK_S, SWEEP_S, Forget, Retention
from control.store.store import Store
from utils import wall_clock_ms

GONE_MS: Final = 3_600_000
"""Age of the last update after which a server, and its live calls, count as gone."""

_log = logging.getLogger("control.store")


class Cleanup:
    """Runs the retention. Deletion cannot be undone and depends on the wall clock, so it waits until
    the clock is plausible.
    """

    def __init__(
        self,
        store: Store,
        retention: Retention,
        forget: Forget,
        flush: Callable[[], Awaitable[bool]],
        folder: DataFolder | None,
    ) -> None:
        """
        forget: deletes calls with all their data
        flush: writes pending changes; true if all are on disk
        folder: stores the last plausible time; None: derived from the newest call
        """
        self._store = store
        self._retention = retention
        self._forget = forget
        self._flush = flush
        self._folder = folder
        self._clock: ClockCheck | None = None
        self._sweeping = asyncio.Lock()

    @property
    def problem(self) -> str | None:
        """Reason why nothing is deleted now; None if deletion runs."""
        if self._clock is None or self._clock.problem is None:
            return None
        hours = CONFIRM_S / 3600
        return f"{self._clock.problem}; set the clock, or let it run evenly for {hours:.0f} hours"

    async def run(self) -> None:
        """Sweep at once and every hour, until cancelled."""
        while True:
            try:
                if await self._flush():
                    await self.sweep()
            except Exception as error:  # noqa: BLE001 - drivers raise many kinds; retried at the next round
                _log.error("old calls could not be deleted: %s", first_line(error))
            await asyncio.sleep(SWEEP_S if self.problem is None else ODD_CLOCK_S)

    async def sweep(self) -> None:
        """Delete calls past retention, and end calls of servers that are gone."""
        async with self._sweeping:
            if not await self._is_clock_believed():
                return
            await self._store.end_silent_calls(wall_clock_ms() - GONE_MS)
            count = await self._retention.sweep(self._store, self._forget, now_ms=wall_clock_ms())
            if count:
                _log.info("%d old calls were deleted", count)

    async def _is_clock_believed(self) -> bool:
        if self._clock is None:
            allowed_ms = self._retention.allowed_clock_error_ms
            self._clock = ClockCheck(allowed_ms, await self._last_believed_ms())
        before = self._clock.problem
        is_believed = self._clock.look(wall_ms=wall_clock_ms(), monotonic_s=time.monotonic())
        if not is_believed and before is None:
            _log.warning("no calls are deleted by age or number: %s", self.problem)
        if is_believed and self._folder is not None:
            await asyncio.to_thread(self._note, self._folder)
        return is_believed

    async def _last_believed_ms(self) -> int | None:
        if self._folder is not None:
            folder = self._folder
            noted_ms = await asyncio.to_thread(lambda: folder.believed_ms)
            if noted_ms is not None:
                return noted_ms
        return await self._store.last_heard_ms()

    def _note(self, folder: DataFolder) -> None:
        assert self._clock is not None
        assert self._clock.believed_ms is not None
        try:
            folder.believed_ms = self._clock.believed_ms
        except OSError as error:
            _log.warning("DATA_DIR: the time cannot be stored: %s", error.strerror)
