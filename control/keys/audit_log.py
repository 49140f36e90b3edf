"""`AuditLog`: what was done with keys, written in the background. No request waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Final

from control.keys.records import AuditEntry, AuditPage
from control.store.audit_table import AuditFilter, AuditTable
from control.store.errors import ArchiveError
from utils import OwnedTasks, wall_clock_ms

WRITE_S: Final = 1.0
"""Longest time that an entry waits for the store, if that can be written."""

MAX_WAITING: Final = 10_000
"""Entries in memory while the store is away; beyond that the oldest are lost and counted."""

MAX_ENTRIES: Final = 1_000_000
"""Entries in the store, whatever their age."""

_BATCH: Final = 500
_SWEEP_S: Final = 3_600.0
_DAY_MS: Final = 24 * 3_600_000

_log = logging.getLogger("control.keys")


class AuditLog:
    """Entries of one server; those of all servers of a database are one log."""

    def __init__(self, table: AuditTable, retention_days: float) -> None:
        """retention_days: entries older than that are deleted; 0: only those beyond `MAX_ENTRIES`"""
        self._table = table
        self._retention_days = retention_days
        self._waiting: deque[AuditEntry] = deque()
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()
        self._tasks = OwnedTasks(_log)
        self.lost = 0

    def start(self) -> None:
        """Write entries as they come, and delete old ones."""
        self._tasks.start(self._run(), name="audit log")

    async def close(self) -> None:
        """Write what waits, if the store takes it. Idempotent."""
        await self._tasks.close()
        try:
            await self.flush()
        except ArchiveError as error:
            _log.warning("%d entries of the audit log were not written: %s", self.waiting, error)

    @property
    def waiting(self) -> int:
        """Entries that are only in memory."""
        return len(self._waiting)

    def add(self, entry: AuditEntry) -> None:
        """Add an entry; returns at once."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(entry)
        self._news.set()

    async def page(self, wanted: AuditFilter, *, limit: int, after: int | None) -> AuditPage:
        """Return a page of entries, latest first, all so far included.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        await self.flush()
        return await self._table.page(wanted, limit=limit, after=after)

    async def flush(self) -> None:
        """Write all that waits.

        Raises:
            StoreUnavailableError: the store cannot be written; what was not written waits on.
        """
        async with self._writing:
            while self._waiting:
                batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
                lost = self.lost
                await self._table.add(batch)
                # While this was written, the oldest may have been dropped.
                for _ in range(len(batch) - (self.lost - lost)):
                    self._waiting.popleft()

    async def _run(self) -> None:
        swept_s = -_SWEEP_S
        while True:
            await asyncio.sleep(WRITE_S)
            try:
                await self.flush()
                if time.monotonic() - swept_s >= _SWEEP_S:
                    await self.sweep()
                    swept_s = time.monotonic()
            except ArchiveError:
                continue  # retried; the archive has logged it
            self._news.clear()
            if not self._waiting:
                await self._wait_news()

    async def _wait_news(self) -> None:
        try:
            async with asyncio.timeout(_SWEEP_S):
                await self._news.wait()
        except TimeoutError:
            return

    async def sweep(self) -> None:
        """Delete entries past the retention.

        Raises:
            StoreUnavailableError: the store cannot be written.
        """
        before_ms = 0
        if self._retention_days:
            before_ms = wall_clock_ms() - round(self._retention_days * _DAY_MS)
        await self._table.forget(before_ms=before_ms, most=MAX_ENTRIES)
