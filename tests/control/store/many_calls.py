"""Thousands of stored calls, as a month of a busy server leaves them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from control.store.call_filter import row_of
from control.store.changes import PutEntry, PutTurn
from control.store.records import CallRecord, CallTurn, Usage
from control.store.schema import CALLS
from control.store.store import Store
from conversation.lifecycle import AgentState, ExitReason
from conversation.snapshot import SnapshotText, SnapshotToolCall
from utils import wall_clock_ms

AGENTS: Final = ("orders", "support", "reception", "ada+ben", "")
PEOPLE: Final = 800
LIVE: Final = 5
TOLD: Final = 50
"""The latest calls, which have a transcript and turns too."""

# Of another server than the one that opens the store, which would end them as its own lost ones.
_SERVER: Final = "the server of before"
_EVERY_MS: Final = 240_000
_MODELS: Final = (("openai", "gpt-realtime"), ("gemini", "gemini-live"), ("local", "local"))
_ENDS: Final = (
    *(ExitReason.USER_LEFT,) * 12,
    *(ExitReason.STOPPED,) * 5,
    *(ExitReason.HUNG_UP, ExitReason.IDLE, ExitReason.NO_USER),
    *(ExitReason.CRASHED, ExitReason.PROVIDER_FAILED),
)


async def store_many_calls(url: URL, count: int = 10_000, *, seed: int = 1) -> list[CallRecord]:
    """Fill a database; return the records, the latest first. `LIVE` of them are live."""
    records = list(_records(count, random.Random(seed), wall_clock_ms()))
    store = Store(url, _SERVER)
    await store.open()
    try:
        await store.work(lambda connection: _insert(connection, records))
        told = enumerate(records[:TOLD])
        await store.write([change for one in told for change in _told(*one)])
    finally:
        await store.close()
    return records


async def _insert(connection: AsyncConnection, records: list[CallRecord]) -> None:
    rows = [row_of(record) | {"server_id": _SERVER} for record in records]

    def insert(sync: Connection) -> None:
        sync.execute(CALLS.insert(), rows)

    await connection.run_sync(insert)


def _records(count: int, chance: random.Random, now_ms: int) -> Iterator[CallRecord]:
    for number in range(count):
        began_ms = now_ms - 60_000 - number * _EVERY_MS - chance.randrange(_EVERY_MS // 2)
        provider, model = chance.choice(_MODELS)
        person = f"person-{chance.randrange(PEOPLE)}" if chance.random() < 0.7 else ""
        call_id = f"agent-{count - number:016x}"
        is_live = number < LIVE
        duration_ms = int(min(chance.lognormvariate(11.5, 1.0), 3_600_000))
        ended_ms = None if is_live else min(began_ms + duration_ms, now_ms)
        tokens = duration_ms // 20
        yield CallRecord(
            call_id=call_id,
            thread_id=f"thread-{person}" if person and chance.random() < 0.5 else call_id,
            channel_name=f"line-{chance.randrange(40)}",
            person_id=person,
            agent=chance.choice(AGENTS),
            uid=1000,
            provider=provider,
            model=model,
            language=chance.choice(("en", "de", "fr")),
            started_at_ms=began_ms,
            updated_at_ms=now_ms if ended_ms is None else ended_ms,
            ended_at_ms=ended_ms,
            state=AgentState.RUNNING if is_live else AgentState.EXITED,
            exit_reason=None if is_live else chance.choice(_ENDS),
            exit_code=None if is_live else 0,
            timings_ms={"joining": 4.0, "connecting": 180.0},
            usage=Usage(
                replies=duration_ms // 8_000,
                input_tokens=tokens,
                output_tokens=tokens // 2,
                cost=round(tokens * 32e-6, 6) if provider == "openai" else 0.0,
            ),
        )


def _told(place: int, record: CallRecord) -> Iterator[PutEntry | PutTurn]:
    entries = (
        SnapshotText(number=0, role="assistant", text="Hello, how can I help you?"),
        SnapshotText(number=1, role="user", text="Where is my order?"),
        SnapshotToolCall(
            number=2,
            call_id="call-1",
            name="find_order",
            arguments='{"order": 4711}',
            output='{"state": "sent"}',
        ),
        SnapshotText(number=3, role="assistant", text="It was sent yesterday and", is_cut=True),
        SnapshotText(number=4, role="user", text="Thank you."),
    )
    for entry in entries:
        at_ms = record.started_at_ms + 2_000 * (entry.number + 1)
        # Calls of one conversation have numbers of their own.
        number = 10 * (TOLD - place) + entry.number
        yield PutEntry(record.thread_id, number, record.call_id, at_ms, entry)
    for turn in (1, 2):
        yield PutTurn(
            record.call_id,
            CallTurn(
                turn=turn,
                process=0,
                at_ms=record.started_at_ms + 4_000 * turn,
                speech_end_to_endpoint_ms=320.0,
                endpoint_to_first_byte_ms=210.0,
                first_byte_to_first_audio_ms=35.0,
                first_audio_to_heard_ms=60.0,
            ),
        )
