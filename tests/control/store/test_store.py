"""Written changes are read again, on both databases alike."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.util.exc import CommandError
from sqlalchemy import text as sql
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from control.black_box.models import BlackBox, SeenEvent
from control.store.call_filter import CallFilter
from control.store.changes import DropCall, PutBox, PutMark, PutState, PutTurn
from control.store.database import StoreUrlError, create_engine, database_url
from control.store.records import CallMark, CallTurn
from control.store.store import Cursor, Store
from conversation.lifecycle import AgentState, ExitReason
from conversation.snapshot import SnapshotToolCall
from tests.control.store.samples import put_call, put_entry, record, text

NASTY = "Grüße \N{WAVING HAND SIGN} \\u0000 \x00 'quoted'; -- %s {x}"


@pytest.mark.asyncio
async def test_a_connection_to_sqlite_keeps_little_of_the_file(tmp_path: Path) -> None:
    engine = create_engine(database_url(tmp_path, None))
    async with engine.connect() as connection:
        assert (await connection.execute(sql("PRAGMA cache_size"))).scalar_one() == -256
    await engine.dispose()


@pytest.mark.asyncio
async def test_a_call_is_read_as_it_was_written(store: Store) -> None:
    turn = CallTurn(turn=1, process=0, at_ms=5, endpoint_to_first_byte_ms=12.5)
    box = BlackBox(events=(SeenEvent(type="agent_ready", at_ms=1),))
    await store.write([put_call(), PutTurn("agent-1", turn), PutBox("agent-1", box)])
    assert await store.call("agent-1") == record()
    details = await store.details("agent-1")
    assert details is not None
    assert (details.turns, details.black_box) == ([turn], box)
    ended = record(ended_at_ms=1_700_000_001_000, exit_reason=ExitReason.STOPPED)
    await store.write([put_call(ended_at_ms=1_700_000_001_000, exit_reason=ExitReason.STOPPED)])
    assert await store.call("agent-1") == ended
    assert await store.call("agent-2") is None
    assert await store.details("agent-2") is None


@pytest.mark.asyncio
async def test_entries_are_kept_by_their_place_with_any_text(store: Store) -> None:
    tool = SnapshotToolCall(number=1, call_id="c", name="look_up", arguments="{}", output=NASTY)
    await store.write([put_entry(1, tool), put_entry(0, text(0, NASTY)), put_entry(2, text(2))])
    await store.write([put_entry(2, None), put_entry(0, text(0, "changed"))])
    told = await store.transcript("agent-1")
    assert [(one.number, one.type, one.at_ms) for one in told] == [
        (0, "text", 1_700_000_000_000),
        (1, "call", 1_700_000_000_001),
    ]
    assert await store.thread("agent-1") == [text(0, "changed"), tool]


@pytest.mark.asyncio
async def test_a_thread_spans_calls_and_a_transcript_does_not(store: Store) -> None:
    await store.write(
        [
            *(put_entry(number, text(number), "first", "t") for number in range(3)),
            *(put_entry(number, text(number), "second", "t") for number in range(3, 5)),
            put_entry(0, text(0, "of another"), "third"),
        ]
    )
    assert await store.thread("t", limit=4) == [text(number) for number in range(1, 5)]
    assert [one.number for one in await store.transcript("second")] == [3, 4]


@pytest.mark.asyncio
async def test_calls_are_listed_latest_first_in_pages(store: Store) -> None:
    # Three of them began in the same millisecond.
    started = [1, 2, 2, 2, 3]
    await store.write(
        put_call(f"agent-{n}", started_at_ms=at, channel_name=f"c{n % 2}", thread_id=f"t{n % 2}")
        for n, at in enumerate(started)
    )
    seen: list[str] = []
    after: Cursor | None = None
    while True:
        page = await store.calls(limit=2, after=after)
        assert len(page.calls) <= 2
        seen += [one.call_id for one in page.calls]
        if page.next is None:
            break
        after = Cursor.parse(page.next)
    assert seen == ["agent-4", "agent-3", "agent-2", "agent-1", "agent-0"]
    of_channel = await store.calls(limit=9, wanted=CallFilter(channel_name="c1"))
    of_thread = await store.calls(limit=9, wanted=CallFilter(thread_id="t1"))
    for page in (of_channel, of_thread):
        assert [one.call_id for one in page.calls] == ["agent-3", "agent-1"]


@pytest.mark.asyncio
async def test_a_deleted_call_leaves_nothing_and_others_alone(store: Store) -> None:
    for call_id in ("agent-1", "agent-2"):
        turn = CallTurn(turn=1, process=0, at_ms=5)
        await store.write(
            [
                *(put_call(call_id), PutTurn(call_id, turn), PutBox(call_id, BlackBox())),
                put_entry(0, text(0), call_id),
                PutState(call_id, call_id, 5, "{}"),
                PutMark(call_id, 0, CallMark(at_ms=5, kind="interrupted")),
            ]
        )
    await store.delete(["agent-1"])
    for table in ("calls", "entries", "thread_states", "turns", "marks", "black_boxes"):
        async with store._engine.connect() as connection:
            rows = list(await connection.execute(sql(f"SELECT call_id FROM {table}")))
        assert rows == [("agent-2",)], table


@pytest.mark.asyncio
async def test_a_server_ends_the_calls_it_was_killed_in_and_no_others(url: URL) -> None:
    ended = put_call("ended", ended_at_ms=7, exit_reason=ExitReason.USER_LEFT)
    for server, calls in (("this", [put_call("lost"), ended]), ("other", [put_call("theirs")])):
        store = Store(url, server)
        await store.open()
        await store.write(calls)
        await store.close()
    store = Store(url, "this")
    await store.open()
    lost, over, theirs = [await store.call(name) for name in ("lost", "ended", "theirs")]
    await store.close()
    assert lost is not None
    assert lost.exit_reason is ExitReason.SUPERVISOR_GONE
    assert (lost.state, lost.ended_at_ms) == (AgentState.EXITED, lost.updated_at_ms)
    assert over == ended.record
    assert theirs == record("theirs")


@pytest.mark.asyncio
async def test_calls_of_servers_that_are_gone_end_too(url: URL) -> None:
    other = Store(url, "other")
    await other.open()
    await other.write(
        [put_call("silent", thread_id="t"), put_call("alive", updated_at_ms=9 * 10**12)]
    )
    await other.close()
    store = Store(url, "this")
    await store.open()
    heard_of_ms = record().updated_at_ms
    assert await store.end_silent_calls(heard_of_ms) == 0
    assert await store.end_silent_calls(heard_of_ms + 1) == 1
    silent, alive = await store.call("silent"), await store.call("alive")
    await store.close()
    assert silent is not None
    assert (silent.exit_reason, silent.ended_at_ms) == (ExitReason.SUPERVISOR_GONE, heard_of_ms)
    assert alive == record("alive", updated_at_ms=9 * 10**12)


@pytest.mark.asyncio
async def test_a_conversation_is_claimed_unless_another_server_lives_in_it(url: URL) -> None:
    other, store = Store(url, "other"), Store(url, "this")
    await other.open()
    await store.open()
    heard_of_ms = record().updated_at_ms
    assert await other.claim(record("theirs", thread_id="t"), heard_of_ms)
    assert not await store.claim(record("ours", thread_id="t"), heard_of_ms)
    assert await store.call("ours") is None
    assert await store.claim(record("of-another", thread_id="u"), heard_of_ms)
    # It was not heard of since then.
    assert await store.claim(record("ours", thread_id="t"), heard_of_ms + 1)
    assert await store.call("ours") == record("ours", thread_id="t")
    await store.write([DropCall("ours"), put_call("of-another", ended_at_ms=heard_of_ms)])
    assert await store.call("ours") is None
    assert await other.claim(record("next", thread_id="u"), heard_of_ms)
    await other.close()
    await store.close()


@pytest.mark.asyncio
async def test_all_of_a_batch_is_written_or_nothing(store: Store) -> None:
    async with store._engine.begin() as connection:
        await connection.execute(sql("DROP TABLE black_boxes"))
    with pytest.raises(DBAPIError):
        await store.write([put_call(), PutBox("agent-1", BlackBox())])
    assert await store.call("agent-1") is None


@pytest.mark.asyncio
async def test_tables_are_those_of_the_migrations(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from control.store.schema import METADATA

    async with store._engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), METADATA)
        )
    assert differences == []


@pytest.mark.asyncio
async def test_a_newer_database_is_refused_and_left_alone(url: URL) -> None:
    store = Store(url, "this")
    await store.open()
    async with store._engine.begin() as connection:
        await connection.execute(sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CommandError, match="another version of Parley"):
        await store.open()
    await store.close()


@pytest.mark.asyncio
async def test_files_on_disk_are_private_and_synchronous(tmp_path: Path) -> None:
    url = database_url(tmp_path / "data", None)
    store = Store(url, "this")
    await store.open()
    await store.write([put_call()])
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "data").iterdir()}
    async with store._engine.connect() as connection:
        synchronous = (await connection.execute(sql("PRAGMA synchronous"))).scalar()
        journal = (await connection.execute(sql("PRAGMA journal_mode"))).scalar()
    await store.close()
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert (synchronous, journal) == (2, "wal")
    with contextlib.closing(sqlite3.connect(str(url.database))) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (1,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nonsense", "not a URL"),
        ("mysql://me:secret@host/db", "mysql:// is unknown"),
        ("postgresql://me:secret@host", "database is missing"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(given: str, message: str) -> None:
    with pytest.raises(StoreUrlError, match=message) as raised:
        database_url(Path("data"), given)
    assert "secret" not in str(raised.value)


def test_urls_are_taken_as_people_write_them() -> None:
    url = database_url(Path("data"), "postgres://me:p%40ss@host:5433/calls")
    assert (url.drivername, url.password) == ("postgresql+asyncpg", "p@ss")
    assert create_engine(url).dialect.name == "postgresql"
    assert database_url(Path("data"), None).database == "data/parley.sqlite3"
