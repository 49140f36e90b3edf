"""A store that is down or slow: calls do not wait for it, and it recovers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from control.store.archive import SLOW_START_DEADLINE_S, STOP_DEADLINE_S, Archive
from control.store.changes import Change
from control.store.database import database_url
from control.store.errors import StoreUnavailableError
from control.store.store import Store
from tests.control.store.samples import config, put_call, put_entry, text
from tests.control.store.test_archive import begin, end, opened
from tests.processes.conftest import until

AT_ONCE_S = 0.9
"""Less than any deadline here, and much more than what asks nobody takes."""


@asynccontextmanager
async def blocked(folder: Path) -> AsyncIterator[tuple[Archive, Path]]:
    """An archive whose folder is a file, until that is removed."""
    obstacle = folder / "data"
    obstacle.write_text("")
    async with opened(database_url(obstacle, None), is_shared=False) as archive:
        await until(lambda: archive.state == "unavailable")
        yield archive, obstacle


@pytest.mark.asyncio
async def test_a_store_that_is_down_costs_a_question_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0
    attempt = Store.open

    async def counted(store: Store) -> None:
        nonlocal attempts
        attempts += 1
        await attempt(store)

    monkeypatch.setattr(Store, "open", counted)
    async with blocked(tmp_path) as (archive, obstacle):
        began_s, before = time.monotonic(), attempts
        for number in range(200):
            with pytest.raises(StoreUnavailableError):
                await archive.calls(limit=1)
            with pytest.raises(StoreUnavailableError):
                await archive.open_call(config(f"a{number}", thread_id="t"))
            assert not await archive.settle()
            assert (await archive.open_call(config(f"b{number}"))).thread_id == f"b{number}"
        took_s = time.monotonic() - began_s
        # One attempt a second at most, whoever asks.
        assert attempts - before <= took_s + 1
        assert took_s < 200 * 0.05
        # It is found again by those who ask, however long it was down.
        obstacle.unlink()
        async with asyncio.timeout(20):
            while archive.state != "ready":
                with pytest.raises(StoreUnavailableError):
                    await archive.calls(limit=1)
                await asyncio.sleep(0.05)
        assert (await archive.calls(limit=1)).calls == []
    assert "Traceback" not in caplog.text


@asynccontextmanager
async def slow(url: URL, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    """An archive that knows a conversation, and whose next write does not end."""
    write, gate = Store.write, asyncio.Event()

    async def gated(store: Store, changes: Iterable[Change]) -> None:
        await gate.wait()
        await write(store, changes)

    async with opened(url, is_shared=False) as archive:
        await begin(archive, "known", "known", text(0, "hello"))
        end(archive, "known")
        assert await archive.settle(20)
        monkeypatch.setattr(Store, "write", gated)
        try:
            yield archive
        finally:
            gate.set()


@pytest.mark.asyncio
async def test_a_slow_write_delays_neither_starts_nor_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slow(database_url(tmp_path, None), monkeypatch) as archive:
        for call_id in ("one", "two"):
            async with asyncio.timeout(AT_ONCE_S):
                await begin(archive, call_id, "", text(0, f"in {call_id}"))
        # The first stop learns that it is slow, the others know.
        end(archive, "one")
        async with asyncio.timeout(STOP_DEADLINE_S + AT_ONCE_S):
            assert not await archive.settle()
        end(archive, "two")
        for _ in range(5):
            async with asyncio.timeout(AT_ONCE_S):
                assert not await archive.settle()
        # A conversation of which all is on disk is read past the write.
        async with asyncio.timeout(AT_ONCE_S):
            seed = await begin(archive, "later", "known")
        assert [entry.text for entry in seed.entries] == ["hello"]
        # One that is not is not waited for long.
        async with asyncio.timeout(SLOW_START_DEADLINE_S + AT_ONCE_S):
            with pytest.raises(StoreUnavailableError, match="slow"):
                await archive.open_call(config("third", thread_id="one"))
    assert archive.state == "ready"


@pytest.mark.asyncio
async def test_once_it_is_quick_again_stops_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database_url(tmp_path, None)
    async with slow(url, monkeypatch) as archive:
        await begin(archive, "one", "", text(0))
        assert not await archive.settle()
        monkeypatch.undo()
    async with opened(url, is_shared=False) as archive:
        await begin(archive, "two", "", text(0))
        assert await archive.settle(20)
        assert len((await archive.transcript("one")).entries) == 1


@pytest.mark.asyncio
async def test_what_waits_is_bounded_whatever_it_is(tmp_path: Path) -> None:
    async with blocked(tmp_path) as (archive, _):
        for number in range(21_000):
            archive._writer.put(put_call(f"agent-{number}"))
        assert (archive.waiting, archive.given_up) == (20_000, 1_000)
        for number in range(200):
            archive._writer.put(put_entry(number, text(number, "x" * 400_000), "big"))
        assert archive._writer._pending.size_bytes <= 64 * 1024 * 1024
