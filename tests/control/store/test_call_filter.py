"""Calls are found by each of their filters, on both databases alike and through an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy import text as sql
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from control.store.call_filter import CallFilter
from control.store.database import create_engine, database_url, prepare_file
from control.store.live_call import first_record
from control.store.records import CallRecord
from control.store.store import Cursor, Store, page_query
from conversation.lifecycle import ExitReason
from tests.control.store.conftest import SERVER
from tests.control.store.many_calls import store_many_calls
from tests.control.store.samples import config, record
from utils import wall_clock_ms

MIGRATIONS: Final = Path("control/store/migrations")

Holds = Callable[[CallRecord], bool]


def _duration_ms(call: CallRecord) -> int:
    return (call.ended_at_ms or wall_clock_ms()) - call.started_at_ms


def _cases(calls: list[CallRecord]) -> list[tuple[CallFilter, Holds]]:
    one = next(call for call in calls if call.person_id and call.agent and call.usage.cost)
    since_ms, until_ms = calls[300].started_at_ms, calls[20].started_at_ms
    costs = sorted(call.usage.cost for call in calls)
    middle = costs[len(costs) * 3 // 4]
    return [
        (CallFilter(), lambda _: True),
        (
            CallFilter(channel_name=one.channel_name),
            lambda call: call.channel_name == one.channel_name,
        ),
        (CallFilter(thread_id=one.thread_id), lambda call: call.thread_id == one.thread_id),
        (CallFilter(person_id=one.person_id), lambda call: call.person_id == one.person_id),
        (CallFilter(agent="ada+ben"), lambda call: call.agent == "ada+ben"),
        (CallFilter(provider="gemini"), lambda call: call.provider == "gemini"),
        (
            CallFilter(exit_reason=ExitReason.IDLE),
            lambda call: call.exit_reason is ExitReason.IDLE,
        ),
        (CallFilter(is_live=True), lambda call: call.ended_at_ms is None),
        (CallFilter(is_live=False), lambda call: call.ended_at_ms is not None),
        (
            CallFilter(since_ms=since_ms, until_ms=until_ms),
            lambda call: since_ms <= call.started_at_ms < until_ms,
        ),
        (
            CallFilter(min_duration_ms=60_000, max_duration_ms=150_000, is_live=False),
            lambda call: call.ended_at_ms is not None and 60_000 <= _duration_ms(call) <= 150_000,
        ),
        (
            CallFilter(min_duration_ms=30_000, is_live=True),
            lambda call: call.ended_at_ms is None,
        ),
        (
            CallFilter(min_cost=middle, max_cost=2 * middle),
            lambda call: middle <= call.usage.cost <= 2 * middle,
        ),
        (CallFilter(text="LINE-7"), lambda call: "line-7" in call.channel_name),
        (CallFilter(text=one.person_id), lambda call: one.person_id in call.person_id),
        (CallFilter(text="A+B"), lambda call: call.agent == "ada+ben"),
        # What has a meaning in a pattern is a character like others.
        (CallFilter(text="%"), lambda _: False),
        (CallFilter(text="line_"), lambda _: False),
        (CallFilter(text="\\"), lambda _: False),
        (
            CallFilter(agent="orders", provider="openai", min_cost=middle),
            lambda call: (
                (call.agent, call.provider) == ("orders", "openai") and call.usage.cost >= middle
            ),
        ),
    ]


async def _found(store: Store, wanted: CallFilter, limit: int = 60) -> list[str]:
    """All calls of a filter, page by page."""
    found: list[str] = []
    after: Cursor | None = None
    while True:
        page = await store.calls(limit=limit, wanted=wanted, after=after)
        found += [call.call_id for call in page.calls]
        if page.next is None:
            return found
        after = Cursor.parse(page.next)


@pytest.mark.asyncio
async def test_each_filter_finds_its_calls_and_no_others(store: Store, url: URL) -> None:
    calls = await store_many_calls(url, 400)
    for wanted, holds in _cases(calls):
        expected = [call.call_id for call in calls if holds(call)]
        assert await _found(store, wanted) == expected, wanted


# Filter -> what SQLite says that it looks for in an index.
PLANS: Final[dict[CallFilter, str]] = {
    CallFilter(): "SCAN calls USING INDEX calls_by_start",
    CallFilter(since_ms=5, until_ms=9): "SEARCH calls USING INDEX calls_by_start",
    CallFilter(channel_name="line-1"): "SEARCH calls USING INDEX calls_by_channel",
    CallFilter(thread_id="t"): "SEARCH calls USING INDEX calls_by_thread",
    CallFilter(person_id="p"): "SEARCH calls USING INDEX calls_by_person",
    CallFilter(agent="orders"): "SEARCH calls USING INDEX calls_by_agent",
    CallFilter(provider="local"): "SEARCH calls USING INDEX calls_by_provider",
    CallFilter(exit_reason=ExitReason.IDLE): "SEARCH calls USING INDEX calls_by_exit",
    CallFilter(exit_reason=ExitReason.IDLE, since_ms=5): "SEARCH calls USING INDEX calls_by_exit",
    CallFilter(is_live=True): "calls USING INDEX calls_live",
    CallFilter(min_cost=1.0): "SCAN calls USING INDEX calls_by_start",
    CallFilter(min_duration_ms=1.0): "SCAN calls USING INDEX calls_by_start",
    CallFilter(text="x"): "SCAN calls USING INDEX calls_by_start",
}


@pytest.mark.asyncio
async def test_a_page_of_thousands_is_read_through_an_index_in_its_order(tmp_path: Path) -> None:
    url = database_url(tmp_path, None)
    calls = await store_many_calls(url, 3_000)
    store = Store(url, SERVER)
    middle = Cursor((calls[1_500].started_at_ms, calls[1_500].call_id))
    try:
        for wanted, plan in PLANS.items():
            for after in (None, middle):
                steps = await store.work(partial(_plan, wanted=wanted, after=after))
                searched = plan.replace("SCAN", "SEARCH") if after else plan
                assert searched in steps, (wanted, steps)
                # The index has the order of the page: nothing is sorted.
                assert "TEMP B-TREE" not in steps, (wanted, steps)
    finally:
        await store.close()


async def _plan(connection: AsyncConnection, wanted: CallFilter, after: Cursor | None) -> str:
    query = page_query(50, wanted, after).compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    rows = await connection.execute(sql(f"EXPLAIN QUERY PLAN {query}".replace(":", "\\:")))
    return "\n".join(row[3] for row in rows)


def test_a_record_names_whom_the_call_was_with_and_its_agents() -> None:
    made = first_record(config(person_id="ann", definition="orders"), at_ms=5)
    assert (made.person_id, made.agent) == ("ann", "orders")
    assert first_record(config(), at_ms=5).agent == ""
    members = [
        {"definition": name, "spoken_name": name.title(), "provider": config().provider}
        for name in ("ada", "ben")
    ]
    several = first_record(config(definition="ada", chat_room={"members": members}), at_ms=5)
    assert several.agent == "ada+ben"


@pytest.mark.asyncio
async def test_calls_of_an_older_schema_are_found_as_new_ones_are(url: URL) -> None:
    usage = {"replies": 3, "cost": 1.25}
    old = json.loads(
        record("agent-1", channel_name="Door", thread_id="Tea", provider="openai").model_dump_json()
    )
    old |= {"usage": usage, "exit_reason": "idle", "ended_at_ms": 1_700_000_060_000}
    for name in ("person_id", "agent", "has_recording"):
        del old[name]
    prepare_file(url)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: _upgrade(sync, "0003"))
        columns = "call_id, server_id, thread_id, channel_name, started_at_ms, ended_at_ms, record"
        values = ":call_id, 'x', :thread_id, :channel_name, :started_at_ms, :ended_at_ms, :record"
        await connection.execute(
            sql(f"INSERT INTO calls ({columns}) VALUES ({values})"),
            [
                {**old, "call_id": f"agent-{number}", "record": json.dumps(old)}
                for number in range(1_100)
            ],
        )
    await engine.dispose()
    store = Store(url, SERVER)
    await store.open()
    try:
        for wanted in (
            CallFilter(provider="openai", exit_reason=ExitReason.IDLE),
            CallFilter(min_cost=1.25, max_cost=1.25),
            CallFilter(text="doo"),
            CallFilter(text="tea", person_id="", agent=""),
            CallFilter(min_duration_ms=60_000, max_duration_ms=60_000),
        ):
            page = await store.calls(limit=2_000, wanted=wanted)
            assert len(page.calls) == 1_100, wanted
            assert (page.calls[0].person_id, page.calls[0].agent) == ("", "")
    finally:
        await store.close()


def _upgrade(connection: Connection, revision: str) -> None:
    alembic = Config()
    alembic.set_main_option("script_location", str(MIGRATIONS))
    alembic.attributes["connection"] = connection
    command.upgrade(alembic, revision)
