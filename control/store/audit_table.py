"""`AuditTable`: entries of the audit log in the archive's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control.keys.records import AuditEntry, AuditPage
from control.store.memories import Ask
from control.store.schema import AUDIT
from control.store.store import Store


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which entries are wanted: those for which all holds; None: any. Times are Unix ms."""

    team: str | None = None
    key: str | None = None
    action: str | None = None
    channel_name: str | None = None
    call_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class AuditTable:
    """Reads and writes entries; every method raises `StoreUnavailableError` if it cannot."""

    def __init__(self, store: Store, ask: Ask) -> None:
        self._store = store
        self._ask = ask

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Insert these entries, in this order."""
        rows = [entry.model_dump(exclude={"number"}) for entry in entries]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(AUDIT.insert(), rows)

        await self._ask(lambda: self._store.work(work))

    async def page(self, wanted: AuditFilter, *, limit: int, after: int | None) -> AuditPage:
        """Return a page of entries, latest first, from the one that follows the number `after`."""
        query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit + 1)
        for name in ("team", "key", "action", "channel_name", "call_id"):
            if (value := getattr(wanted, name)) is not None:
                query = query.where(AUDIT.c[name] == value)
        if wanted.since_ms is not None:
            query = query.where(AUDIT.c.at_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            query = query.where(AUDIT.c.at_ms < wanted.until_ms)
        if after is not None:
            query = query.where(AUDIT.c.number < after)

        async def work(connection: AsyncConnection) -> list[Any]:
            return list((await connection.execute(query)).mappings())

        rows = await self._ask(lambda: self._store.work(work))
        entries = [AuditEntry.model_validate({**row}) for row in rows[:limit]]
        is_more = len(rows) > limit
        return AuditPage(entries=entries, next=entries[-1].number if is_more else None)

    async def forget(self, *, before_ms: int, most: int) -> None:
        """Delete entries older than that, and all but the latest `most`."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(AUDIT).where(AUDIT.c.at_ms < before_ms))
            last = (await connection.execute(select(func.max(AUDIT.c.number)))).scalar()
            if last is not None:
                await connection.execute(delete(AUDIT).where(AUDIT.c.number <= last - most))

        await self._ask(lambda: self._store.work(work))
