"""`Store`: writes changes and answers questions, one transaction each. Knows no calls that are live."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Select,
    Table,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy import update as update_of
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL

from control.black_box.models import BlackBox
from control.store.changes import Change, DropCall, PutBox, PutCall, PutEntry, PutTurn
from control.store.database import create_engine, migrate, prepare_file, take_turn
from control.store.records import (
    CallDetails,
    CallPage,
    CallRecord,
    CallTurn,
    TextEntry,
    ToolEntry,
    TranscriptEntry,
)
from control.store.schema import BLACK_BOXES, CALLS, ENTRIES, TURNS
from conversation.lifecycle import AgentState, ExitReason
from conversation.remembered import MAX_ENTRIES, RememberedEntry

CALL_ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

_TURN_OF_OTHERS: Final = 50
"""So many changes are prepared before the loop may do something else."""

_LAST_CALLS: Final = 20

_log = logging.getLogger("control.store")

_ENTRY: Final[TypeAdapter[RememberedEntry]] = TypeAdapter(RememberedEntry)
_CALL_TABLES: Final = (ENTRIES, TURNS, BLACK_BOXES, CALLS)
_TAKE_BACK: Final = delete(ENTRIES).where(
    ENTRIES.c.thread_id == bindparam("of_thread"), ENTRIES.c.number == bindparam("at")
)
# When an entry was first told never changes.
_KEPT: Final = frozenset({"at_ms"})


class Cursor(tuple[int, str]):
    """Where a page of calls ended: (started_at_ms, call_id)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """From `str` of one.

        Raises:
            ValueError: it is none.
        """
        found = re.fullmatch(rf"(\d{{1,18}})-({CALL_ID_PATTERN})", text, re.ASCII)
        if found is None:
            raise ValueError("this is not the `next` of a page")
        return cls((int(found[1]), found[2]))

    def __str__(self) -> str:
        return f"{self[0]}-{self[1]}"


class Store:
    """Errors are SQLAlchemy's and the operating system's: whoever asks decides what they mean."""

    def __init__(self, url: URL, server_id: str) -> None:
        """server_id: whose calls are meant where a call may be another server's"""
        self._url = url
        self._engine = create_engine(url)
        self._server_id = server_id
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        self._insert: Any = dialect.insert

    async def open(self) -> None:
        """Create or migrate the tables, and note which calls this server was killed in; may be
        repeated after a failure.

        Raises:
            SQLAlchemyError, OSError: it cannot be reached or written.
            CommandError: it is of a newer Parley.
        """
        await asyncio.to_thread(prepare_file, self._url)
        await migrate(self._engine)
        if count := await self._end_lost_calls():
            _log.warning("%d calls had been going on when this server was killed", count)

    async def close(self) -> None:
        """Let go of the database. Idempotent."""
        await self._engine.dispose()

    # -- writing ---------------------------------------------------------------------------------

    async def write(self, changes: Iterable[Change]) -> None:
        """All of them or none."""
        rows: dict[Table, list[dict[str, Any]]] = {}
        gone: list[dict[str, Any]] = []
        never_begun: list[str] = []
        for count, change in enumerate(changes, start=1):
            if count % _TURN_OF_OTHERS == 0:
                await asyncio.sleep(0)
            if isinstance(change, DropCall):
                never_begun.append(change.call_id)
            elif isinstance(change, PutEntry) and change.entry is None:
                gone.append({"of_thread": change.thread_id, "at": change.number})
            else:
                table, row = self._row(change)
                rows.setdefault(table, []).append(row)
        async with self._engine.begin() as connection:
            for table, values in rows.items():
                await connection.execute(self._upsert(table), values)
            if gone:
                await connection.execute(_TAKE_BACK, gone)
            if never_begun:
                await connection.execute(delete(CALLS).where(CALLS.c.call_id.in_(never_begun)))

    async def claim(self, record: CallRecord, since_ms: int) -> bool:
        """Write that this call begins, unless another server, heard of since then, has a live one
        with its conversation; of servers that ask at the same time only one hears yes.
        """
        theirs = (CALLS.c.thread_id == record.thread_id) & (CALLS.c.server_id != self._server_id)
        async with self._engine.begin() as connection:
            await take_turn(connection, _lock_number(record.thread_id))
            others = _records(await connection.execute(_open_calls(theirs)))
            if any(other.updated_at_ms >= since_ms for other in others):
                return False
            table, row = self._row(PutCall(record))
            await connection.execute(self._upsert(table), row)
        return True

    def _row(self, change: PutCall | PutEntry | PutTurn | PutBox) -> tuple[Table, dict[str, Any]]:
        match change:
            case PutCall(record):
                row = record.model_dump(
                    include={
                        *("call_id", "thread_id", "channel_name", "started_at_ms", "ended_at_ms"),
                    }
                )
                return CALLS, row | {"server_id": self._server_id, "record": _json(record)}
            case PutEntry(thread_id, number, call_id, at_ms, entry):
                assert entry is not None
                keys = {"thread_id": thread_id, "number": number, "call_id": call_id}
                return ENTRIES, keys | {"at_ms": at_ms, "entry": _json(entry)}
            case PutTurn(call_id, turn):
                keys = {"call_id": call_id, "process": turn.process, "turn": turn.turn}
                return TURNS, keys | {"timings": _json(turn)}
            case PutBox(call_id, box):
                return BLACK_BOXES, {"call_id": call_id, "content": _json(box)}

    def _upsert(self, table: Table) -> Executable:
        statement = self._insert(table)
        changed = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if not column.primary_key and column.name not in _KEPT
        }
        keys = [column.name for column in table.primary_key]
        upsert: Executable = statement.on_conflict_do_update(index_elements=keys, set_=changed)
        return upsert

    # -- asking ----------------------------------------------------------------------------------

    async def calls(
        self,
        *,
        limit: int,
        channel_name: str | None = None,
        thread_id: str | None = None,
        after: Cursor | None = None,
    ) -> CallPage:
        """The latest first, from the one that follows `after`."""
        started = (CALLS.c.started_at_ms, CALLS.c.call_id)
        wanted = select(CALLS.c.record).order_by(*(column.desc() for column in started))
        if channel_name is not None:
            wanted = wanted.where(CALLS.c.channel_name == channel_name)
        if thread_id is not None:
            wanted = wanted.where(CALLS.c.thread_id == thread_id)
        if after is not None:
            wanted = wanted.where(
                tuple_(*started) < tuple_(literal(after[0], BigInteger()), literal(after[1]))
            )
        texts = [row[0] for row in await self._rows(wanted.limit(limit + 1))]
        calls = [CallRecord.model_validate_json(text) for text in texts[:limit]]
        is_more = len(texts) > limit
        end = str(Cursor((calls[-1].started_at_ms, calls[-1].call_id))) if is_more else None
        return CallPage(calls=calls, next=end)

    async def call(self, call_id: str) -> CallRecord | None:
        """The record; None when there is none."""
        rows = await self._rows(select(CALLS.c.record).where(CALLS.c.call_id == call_id))
        return CallRecord.model_validate_json(rows[0][0]) if rows else None

    async def details(self, call_id: str) -> CallDetails | None:
        """The record with turns and black box; None when there is none."""
        if (record := await self.call(call_id)) is None:
            return None
        turns = await self._rows(
            select(TURNS.c.timings)
            .where(TURNS.c.call_id == call_id)
            .order_by(TURNS.c.process, TURNS.c.turn)
        )
        boxes = await self._rows(
            select(BLACK_BOXES.c.content).where(BLACK_BOXES.c.call_id == call_id)
        )
        return CallDetails(
            **record.model_dump(),
            turns=[CallTurn.model_validate_json(row[0]) for row in turns],
            black_box=BlackBox.model_validate_json(boxes[0][0]) if boxes else BlackBox(),
        )

    async def transcript(self, call_id: str) -> list[TranscriptEntry]:
        """What was said in this call, oldest first."""
        wanted = select(ENTRIES.c.number, ENTRIES.c.at_ms, ENTRIES.c.entry).where(
            ENTRIES.c.call_id == call_id
        )
        rows = await self._rows(wanted.order_by(ENTRIES.c.number))
        return [_told(_numbered(number, entry), at_ms) for number, at_ms, entry in rows]

    async def thread(self, thread_id: str, limit: int = MAX_ENTRIES) -> list[RememberedEntry]:
        """The last entries of a conversation, oldest first, of however many calls."""
        wanted = select(ENTRIES.c.number, ENTRIES.c.entry).where(ENTRIES.c.thread_id == thread_id)
        rows = await self._rows(wanted.order_by(ENTRIES.c.number.desc()).limit(limit))
        return [_numbered(number, entry) for number, entry in reversed(rows)]

    async def word_ends(self, call_ids: Sequence[str]) -> dict[str, int]:
        """Conversation -> the place after the last that was said in these calls of it."""
        wanted = (
            select(ENTRIES.c.thread_id, func.max(ENTRIES.c.number))
            .where(ENTRIES.c.call_id.in_(call_ids))
            .group_by(ENTRIES.c.thread_id)
        )
        return {thread_id: number + 1 for thread_id, number in await self._rows(wanted)}

    async def ended_before(self, at_ms: int, limit: int, but: Collection[str] = ()) -> list[str]:
        """Ids of calls that began before `at_ms` and are over, the oldest first; but not these."""
        is_old = (CALLS.c.started_at_ms < at_ms) & CALLS.c.ended_at_ms.is_not(None)
        wanted = select(CALLS.c.call_id).where(is_old, CALLS.c.call_id.not_in(but))
        return await self._ids(wanted, limit)

    async def ended_beyond(self, count: int, limit: int, but: Collection[str] = ()) -> list[str]:
        """Ids of calls that are more than `count` and are over, the oldest first; but not these."""
        surplus = await self.count() - count - len(but)
        over = select(CALLS.c.call_id).where(
            CALLS.c.ended_at_ms.is_not(None), CALLS.c.call_id.not_in(but)
        )
        return await self._ids(over, min(limit, surplus)) if surplus > 0 else []

    async def count(self) -> int:
        """How many calls there are, of all servers."""
        return int((await self._rows(select(func.count()).select_from(CALLS)))[0][0])

    async def unknown(self, call_ids: Collection[str]) -> set[str]:
        """Those of these calls of which there is no record."""
        wanted = select(CALLS.c.call_id).where(CALLS.c.call_id.in_(call_ids))
        return set(call_ids) - {row[0] for row in await self._rows(wanted)}

    async def last_heard_ms(self) -> int | None:
        """The latest stamp of the calls that began last; None when there are none."""
        wanted = select(CALLS.c.record).order_by(CALLS.c.started_at_ms.desc()).limit(_LAST_CALLS)
        stamps = [record.updated_at_ms for record in _records(await self._rows(wanted))]
        return max(stamps, default=None)

    async def _ids(self, wanted: Select[Any], limit: int) -> list[str]:
        return [
            row[0] for row in await self._rows(wanted.order_by(CALLS.c.started_at_ms).limit(limit))
        ]

    async def _rows(self, wanted: Select[Any]) -> list[Any]:
        async with self._engine.connect() as connection:
            return list(await connection.execute(wanted))

    # -- cleaning up -----------------------------------------------------------------------------

    async def delete(self, call_ids: Sequence[str]) -> None:
        """Forget these calls with all that was said in them."""
        async with self._engine.begin() as connection:
            for table in _CALL_TABLES:
                await connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
        if self._engine.dialect.name == "sqlite":
            await self._empty_log()

    async def _empty_log(self) -> None:
        """Have nothing of what was deleted left in SQLite's write-ahead log."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()
        if row[0]:
            # A reader is at it; the next deletion, or the log's own turn, does it.
            _log.info("the database's log still holds what was deleted")

    async def end_silent_calls(self, before_ms: int) -> int:
        """Calls of other servers that were last heard of before `before_ms` are over, since those
        servers are; returns how many there were.
        """
        return await self._end_calls(
            [
                record
                for record in _records(
                    await self._rows(_open_calls(CALLS.c.server_id != self._server_id))
                )
                if record.updated_at_ms < before_ms
            ]
        )

    async def _end_lost_calls(self) -> int:
        ours = await self._rows(_open_calls(CALLS.c.server_id == self._server_id))
        return await self._end_calls(_records(ours))

    async def _end_calls(self, records: Sequence[CallRecord]) -> int:
        for record in records:
            update = {
                "ended_at_ms": record.updated_at_ms,
                "state": AgentState.EXITED,
                "exit_reason": ExitReason.SUPERVISOR_GONE,
            }
            changed = record.model_copy(update=update)
            values = {"ended_at_ms": changed.ended_at_ms, "record": _json(changed)}
            is_it = (CALLS.c.call_id == record.call_id) & CALLS.c.ended_at_ms.is_(None)
            async with self._engine.begin() as connection:
                await connection.execute(update_of(CALLS).where(is_it).values(values))
        return len(records)


def _open_calls(wanted: ColumnElement[bool]) -> Select[Any]:
    return select(CALLS.c.record).where(CALLS.c.ended_at_ms.is_(None) & wanted)


def _records(rows: Iterable[Any]) -> list[CallRecord]:
    return [CallRecord.model_validate_json(row[0]) for row in rows]


def _lock_number(thread_id: str) -> int:
    return int.from_bytes(blake2b(thread_id.encode(), digest_size=8).digest(), signed=True)


def _json(model: BaseModel) -> str:
    return model.model_dump_json()


def _numbered(number: int, entry: str) -> RememberedEntry:
    return _ENTRY.validate_json(entry).model_copy(update={"number": number})


def _told(entry: RememberedEntry, at_ms: int) -> TranscriptEntry:
    made = TextEntry if entry.type == "text" else ToolEntry
    return made(**entry.model_dump(), at_ms=at_ms)
