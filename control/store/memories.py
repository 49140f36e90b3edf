"""`Memories`: long-term memory of models, by key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control.store.errors import ArchiveError
from control.store.schema import MEMORIES
from control.store.store import Store
from conversation.memory import NO_KEY, MemoryAnswer, MemoryRequest, MemoryText, answer
from utils import wall_clock_ms

UNAVAILABLE: Final = MemoryAnswer(problem="the memory cannot be reached now")

_KEYED: Final = "memory_key"


class Ask(Protocol):
    """Runs a query once the store is open; raises `ArchiveError`s alone."""

    async def __call__(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """Run it."""
        ...


class Memories:
    """Texts by key, in the archive's database. They stay until they are deleted."""

    def __init__(self, store: Store, ask: Ask) -> None:
        self._store = store
        self._ask = ask

    async def answer(self, key: str, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request of an agent; a problem is part of the answer."""
        if not key:
            return NO_KEY
        try:
            made: MemoryAnswer = await self._ask(
                lambda: self._store.work(lambda one: _answer(one, key, request), lock=_lock(key))
            )
        except ArchiveError:
            return UNAVAILABLE
        return made

    async def texts(self, key: str) -> list[MemoryText]:
        """Return all texts of a key, oldest first.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        found: list[MemoryText] = await self._ask(
            lambda: self._store.work(lambda one: _texts(one, key))
        )
        return found

    async def delete(self, key: str) -> int:
        """Delete all texts of a key; return how many there were.

        Raises:
            StoreUnavailableError: the store cannot be written.
        """

        async def work(connection: AsyncConnection) -> int:
            done = await connection.execute(delete(MEMORIES).where(MEMORIES.c.memory_key == key))
            return int(done.rowcount)

        async def emptied() -> int:
            count = await self._store.work(work, lock=_lock(key))
            if count:
                await self._store.empty_log()
            return count

        count: int = await self._ask(emptied)
        return count


def _lock(key: str) -> str:
    return f"{_KEYED} {key}"


async def _texts(connection: AsyncConnection, key: str) -> list[MemoryText]:
    columns = (MEMORIES.c.memory_id, MEMORIES.c.text, MEMORIES.c.at_ms)
    wanted = select(*columns).where(MEMORIES.c.memory_key == key)
    rows = await connection.execute(wanted.order_by(MEMORIES.c.at_ms, MEMORIES.c.memory_id))
    return [MemoryText(id=row[0], text=row[1], at_ms=row[2]) for row in rows]


async def _answer(connection: AsyncConnection, key: str, request: MemoryRequest) -> MemoryAnswer:
    before = await _texts(connection, key)
    # Never older than what is there: the order is that of saving, whatever the clock does.
    now_ms = max([wall_clock_ms(), *(each.at_ms + 1 for each in before[-1:])])
    made, after = answer(request, before, now_ms=now_ms)
    kept = {each.id for each in after}
    if gone := [each.id for each in before if each.id not in kept]:
        of_key = (MEMORIES.c.memory_key == key) & MEMORIES.c.memory_id.in_(gone)
        await connection.execute(delete(MEMORIES).where(of_key))
    known = {each.id for each in before}
    if new := [each for each in after if each.id not in known]:
        rows = [
            {_KEYED: key, "memory_id": each.id, "text": each.text, "at_ms": each.at_ms}
            for each in new
        ]
        await connection.execute(MEMORIES.insert(), rows)
    return made
