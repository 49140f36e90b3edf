"""Changes are written: soon, at once on request, later after a failure, each key once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError, IntegrityError

from control.store.changes import MAX_PENDING, Change, PutCall
from control.store.database import database_url
from control.store.store import Store
from control.store.writer import Writer
from tests.control.store.postgres import running_postgres
from tests.control.store.samples import put_call, put_entry, text
from tests.deadlines import DEADLINE_S


class Disk:
    """A store whose disk may be full, slow, or refuse certain calls."""

    def __init__(self) -> None:
        self.is_full = False
        self.refused: set[str] = set()
        self.batches: list[list[str]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def open(self) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")

    async def write(self, changes: Iterable[Change]) -> None:
        await self.free.wait()
        if self.is_full:
            raise OSError(28, "No space left on device")
        calls = [change.record.call_id for change in changes if isinstance(change, PutCall)]
        if self.refused & set(calls):
            raise IntegrityError("INSERT", None, ValueError("refused"))
        self.batches.append(calls)


@asynccontextmanager
async def writing(store: Disk | Store) -> AsyncIterator[Writer]:
    writer = Writer(store)
    writer.start()
    try:
        yield writer
    finally:
        await writer.close()


@pytest.mark.asyncio
async def test_changes_that_pile_up_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.free.clear()
    async with writing(disk) as writer:
        for number in range(MAX_PENDING // 10):
            writer.put(put_call(f"call-{number}"))
        disk.free.set()
        assert await writer.flush(DEADLINE_S)
    told = [one.getMessage() for one in caplog.records if "grows" in one.getMessage()]
    assert told == [f"queue of changes to store grows: {MAX_PENDING // 20} entries wait"]


@pytest.mark.asyncio
async def test_changes_are_gathered_and_a_flush_does_not_wait_for_more() -> None:
    disk = Disk()
    async with writing(disk) as writer:
        for call_id in ("a", "b", "a"):
            writer.put(put_call(call_id))
        assert await writer.flush(DEADLINE_S)
        assert disk.batches == [["a", "b"]]
        # Nothing to write: nothing to wait for.
        disk.free.clear()
        assert await writer.flush(0.0)
        writer.put(put_call("c"))
        assert not await writer.flush(0.01)
        disk.free.set()
        assert await writer.flush(DEADLINE_S)
    assert disk.batches == [["a", "b"], ["c"]]


@pytest.mark.asyncio
async def test_a_flush_during_a_write_waits_for_what_came_meanwhile() -> None:
    disk = Disk()
    async with writing(disk) as writer:
        await writer.flush(DEADLINE_S)
        disk.free.clear()
        writer.put(put_call("a"))
        first = asyncio.get_running_loop().create_task(writer.flush(DEADLINE_S))
        await asyncio.sleep(0)
        while writer.waiting:  # noqa: ASYNC110 - until the write is under way
            await asyncio.sleep(0.01)
        writer.put(put_call("b"))
        second = asyncio.get_running_loop().create_task(writer.flush(DEADLINE_S))
        await asyncio.sleep(0)
        assert not first.done()
        disk.free.set()
        assert await first
        assert await second
    assert disk.batches == [["a"], ["b"]]


@pytest.mark.asyncio
async def test_nothing_is_lost_while_the_disk_is_full(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.is_full = True
    async with writing(disk) as writer:
        writer.put(put_call("a"))
        # Whoever asks learns at once that it cannot be, and the log says so once.
        assert not await writer.flush(DEADLINE_S)
        assert not await writer.flush(DEADLINE_S)
        assert writer.problem is not None
        assert "No space left" in writer.problem
        assert (writer.is_open, writer.waiting) == (False, 1)
        disk.is_full = False
        assert await writer.flush(DEADLINE_S)
        assert writer.problem is None
        assert writer.given_up == 0
        disk.is_full = True
        writer.put(put_call("b"))
        assert not await writer.flush(DEADLINE_S)
        writer.put(put_call("b", restarts=1))
        writer.put(put_call("c"))
        disk.is_full = False
        assert await writer.flush(DEADLINE_S)
    assert disk.batches == [["a"], ["b", "c"]]
    assert caplog.text.count("the store cannot be written") == 2
    assert caplog.text.count("the store can be written again") == 2


@pytest.mark.asyncio
async def test_it_recovers_without_being_asked() -> None:
    disk = Disk()
    disk.is_full = True
    async with writing(disk) as writer:
        writer.put(put_call("a"))
        assert not await writer.flush(DEADLINE_S)
        disk.is_full = False
        async with asyncio.timeout(DEADLINE_S):
            while not disk.batches:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_one_change_that_can_never_be_written_holds_up_no_other() -> None:
    disk = Disk()
    disk.refused = {"b"}
    async with writing(disk) as writer:
        for call_id in ("a", "b", "c"):
            writer.put(put_call(call_id))
        assert await writer.flush(DEADLINE_S)
        assert writer.waiting == 0
    assert disk.batches == [["a"], ["c"]]


@pytest.mark.asyncio
async def test_closing_writes_pending_changes_and_logs_lost_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = Disk()
    async with writing(disk) as writer:
        writer.put(put_call("a"))
    assert disk.batches == [["a"]]
    async with writing(disk) as writer:
        await writer.flush(DEADLINE_S)
        disk.is_full = True
        writer.put(put_call("b"))
    assert "the last changes were not stored: [Errno 28]" in caplog.text
    await writer.close()


@pytest.mark.asyncio
async def test_one_that_was_never_started_has_nothing_to_wait_for() -> None:
    writer = Writer(Disk())
    writer.put(put_call("a"))
    assert not await writer.flush(DEADLINE_S)
    await writer.close()


@pytest.mark.asyncio
async def test_a_locked_database_is_written_when_it_is_free(tmp_path: Path) -> None:
    url = database_url(tmp_path, None)
    store = Store(url, "this")
    async with writing(store) as writer:
        assert await writer.flush(DEADLINE_S)
        connecting = sqlite3.connect(str(url.database), isolation_level=None)
        with contextlib.closing(connecting) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.put(put_call("a"))
            assert not await writer.flush(0.1)
            # Readers are not in the way of writers, nor the other way round.
            assert await store.call("a") is None
            other.execute("ROLLBACK")
        assert await writer.flush(DEADLINE_S)
        assert await store.call("a") is not None
    await store.close()


@pytest.mark.asyncio
async def test_a_database_server_may_be_restarted(tmp_path: Path) -> None:
    with running_postgres() as postgres:
        store = Store(database_url(tmp_path, postgres.url), "this")
        async with writing(store) as writer:
            writer.put(put_call("a"))
            assert await writer.flush(DEADLINE_S)
            postgres.stop()
            writer.put(put_call("b"))
            assert not await writer.flush(DEADLINE_S)
            assert writer.problem is not None
            postgres.start()
            assert await writer.flush(DEADLINE_S)
            page = await store.calls(limit=9)
            assert {one.call_id for one in page.calls} == {"a", "b"}
        await store.close()


@pytest.mark.asyncio
async def test_what_was_said_is_in_no_error(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async with writing(store) as writer:
        assert await writer.flush(DEADLINE_S)
        async with store._engine.begin() as connection:
            await connection.execute(sql("DROP TABLE entries"))
        writer.put(put_entry(0, text(0, "my secret")))
        assert not await writer.flush(DEADLINE_S)
        assert writer.problem is not None
        with pytest.raises(DBAPIError) as raised:
            await store.write([put_entry(0, text(0, "my secret"))])
    assert "secret" not in f"{caplog.text} {writer.problem} {raised.value}"
