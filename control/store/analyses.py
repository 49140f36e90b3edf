"""`Analyses`: summaries and extractions that are wanted of calls, and their outcomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from control.store.memories import Ask
from control.store.records import Analysis, AnalysisKind
from control.store.schema import ANALYSES, CALLS
from control.store.store import Store

_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class WantedAnalysis:
    """An analysis that has no outcome yet. schema: of an extraction"""

    kind: AnalysisKind
    schema: dict[str, Any] | None = field(repr=False)


class Analyses:
    """Pending work is in the store, so that a restarted server goes on with it."""

    def __init__(self, store: Store, ask: Ask, server_id: str) -> None:
        """server_id: owner of the calls whose work is this server's"""
        self._store = store
        self._ask = ask
        self._server_id = server_id

    async def pending(self, call_id: str) -> list[WantedAnalysis]:
        """Return what is to be made of this call, the summary first.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        is_wanted = (ANALYSES.c.call_id == call_id) & (ANALYSES.c.state == _PENDING)
        wanted = select(ANALYSES.c.kind, ANALYSES.c.wanted).where(is_wanted)
        rows = await self._rows(wanted.order_by(ANALYSES.c.kind.desc()))
        return [WantedAnalysis(kind, json.loads(text) if text else None) for kind, text in rows]

    async def pending_calls(self) -> list[str]:
        """Return the ended calls of this server of which something is to be made, oldest first.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        is_wanted = (
            (ANALYSES.c.state == _PENDING)
            & (CALLS.c.server_id == self._server_id)
            & CALLS.c.ended_at_ms.is_not(None)
        )
        wanted = (
            select(CALLS.c.call_id)
            .join(ANALYSES, ANALYSES.c.call_id == CALLS.c.call_id)
            .where(is_wanted)
            .order_by(CALLS.c.started_at_ms, CALLS.c.call_id)
        )
        rows = await self._rows(wanted)
        return list(dict.fromkeys(row[0] for row in rows))

    async def settle(self, call_id: str, kind: AnalysisKind, outcome: Analysis) -> bool:
        """Store an outcome; return false if the call is deleted.

        Raises:
            StoreUnavailableError: the store cannot be written.
        """
        is_it = (ANALYSES.c.call_id == call_id) & (ANALYSES.c.kind == kind)
        values = {"state": outcome.state, "content": outcome.model_dump_json()}

        async def work(connection: AsyncConnection) -> int:
            done = await connection.execute(update(ANALYSES).where(is_it).values(values))
            return int(done.rowcount)

        count: int = await self._ask(lambda: self._store.work(work))
        return count > 0

    async def _rows(self, wanted: Any) -> Sequence[Any]:
        async def work(connection: AsyncConnection) -> list[Any]:
            return list(await connection.execute(wanted))

        rows: Sequence[Any] = await self._ask(lambda: self._store.work(work))
        return rows
