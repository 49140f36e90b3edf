"""Faults of the store during calls: it hangs, refuses writes, or the clock for its retention is far
ahead when the server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from control.store.database import SQLITE_NAME, database_url
from control.store.store import Store
from tests.chaos.environment_faults import DAY_S, EnvironmentFault, SteppedClock
from tests.chaos.stage import IN_CALL, Scene
from tests.control.store.postgres import Postgres, running_postgres
from tests.control.store.samples import put_call, put_entry, text
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.test_real_agent import START
from utils import wall_clock_ms

AT_ONCE_S = 4.0
"""Less than the timeout of a hanging write, with a margin for a busy machine."""

STOPPED_S = 8.0
"""An agent's graceful stop and two seconds for the store, with a margin for a busy machine."""


class HungDatabase(EnvironmentFault):
    """PostgreSQL accepts data and never answers."""

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        with running_postgres() as self._postgres:
            try:
                yield {"store_url": self._postgres.url}
            finally:
                self.heal()

    async def inject(self, here: Scene) -> None:
        self._signal(signal.SIGSTOP)
        await is_not_in_the_way(here)

    def heal(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in processes_of(self._postgres):
            # A worker of the database may exit meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


class LockedDatabase(EnvironmentFault):
    """Another process holds the write lock of the SQLite file."""

    _connection: sqlite3.Connection | None = None

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {}
        finally:
            self.heal()

    async def inject(self, here: Scene) -> None:
        self._connection = _connect(self._folder)
        await asyncio.to_thread(self._connection.execute, "BEGIN IMMEDIATE")
        await is_not_in_the_way(here)

    def heal(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class BrokenDatabase(EnvironmentFault):
    """A table that is written frequently is missing."""

    async def inject(self, here: Scene) -> None:
        await asyncio.to_thread(self._rename, "calls", "gone")
        await is_not_in_the_way(here)

    def heal(self) -> None:
        self._rename("gone", "calls")

    def _rename(self, table: str, name: str) -> None:
        with contextlib.closing(_connect(self._folder)) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO {name}")


class ClockAhead(SteppedClock):
    """The server starts with a clock that is 40 days ahead, and knows calls of yesterday; then the
    clock is set right.
    """

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        recordings = self._folder / "recordings"
        recordings.mkdir()
        (recordings / "yesterday.wav").write_bytes(b"said")
        await self._fill()
        async with super().prepared(provider):
            self._set(40 * DAY_S)
            yield {"recordings_dir": str(recordings), "retention_days": 30}
        with contextlib.closing(sqlite3.connect(_database(self._folder))) as connection:
            rows = connection.execute("SELECT 1 FROM entries WHERE call_id = 'yesterday'")
            assert rows.fetchall() == [(1,)]
        assert (recordings / "yesterday.wav").exists()

    async def _fill(self) -> None:
        yesterday_ms = wall_clock_ms() - DAY_S * 1000
        stamps = dict.fromkeys(("started_at_ms", "updated_at_ms", "ended_at_ms"), yesterday_ms)
        store = Store(database_url(self._folder / "data", None), "the server before")
        await store.open()
        call = put_call("yesterday", channel_name="another", **stamps)
        await store.write([call, put_entry(0, text(0), "yesterday")])
        await store.close()

    async def inject(self, here: Scene) -> None:
        warnings = (await here.server.get("/readyz"))[1]["warnings"]
        assert any("40 days ahead" in warning or "41 days ahead" in warning for warning in warnings)
        status, call = await here.server.get("/calls/yesterday")
        assert (status, call["call_id"]) == (200, "yesterday")
        self._set(0)


async def is_not_in_the_way(here: Scene) -> None:
    """Requests that need no store are answered at once; the others report the fault."""
    async with asyncio.timeout(AT_ONCE_S):
        shown = await here.shown()
        _, ready = await here.server.get("/readyz")
    assert ready["status"] == ("not_ready" if ready["is_draining"] else "ready"), ready
    if ready["is_draining"] or shown["state"] not in IN_CALL:
        return
    # A start that continues nothing needs no store, nor does the end of its call.
    other = {**START, "channel_name": "beside", "uid": 9}
    status, answer = await here.server.post("/start_agent", other)
    assert status == 200, answer
    await here.provider.next_session()
    async with asyncio.timeout(STOPPED_S):
        status, answer = await here.server.post("/stop_agent", {"channel_name": "beside"})
    assert (status, answer["is_stored"]) == (200, False)


def processes_of(postgres: Postgres) -> list[psutil.Process]:
    """Return the database server and its workers."""
    assert postgres._process is not None
    server = psutil.Process(postgres._process.pid)
    return [server, *server.children(recursive=True)]


def _connect(folder: Path) -> sqlite3.Connection:
    """Return a connection that waits for other writers. Used in threads, never on the loop."""
    made = sqlite3.connect(_database(folder), isolation_level=None, check_same_thread=False)
    made.execute("PRAGMA busy_timeout=20000")
    return made


def _database(folder: Path) -> str:
    return str(folder / "data" / SQLITE_NAME)
