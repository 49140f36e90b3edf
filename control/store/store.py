"""`Store`: writes changes and runs queries, one transaction each. Has no state of live calls."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

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
from sqlalchemy.ext.asyncio import AsyncConnection

from control.black_box.models import BlackBox
from control.store.call_filter import ANY_CALL, CallFilter, row_of
from control.store.changes import (
    Change,
    DropCall,
    PutAnalysis,
    PutBox,
    PutCall,
    PutEntry,
    PutMark,
    PutState,
    PutTurn,
)
from control.store.database import create_engine, migrate, prepare_file, take_turn
from control.store.records import (
    CallDetails,
    CallMark,
    CallPage,
    CallRecord,
    CallTurn,
    Extraction,
    Summary,
    TextEntry,
    ToolEntry,
    TranscriptEntry,
)
from control.store.schema import ANALYSES, BLACK_BOXES, CALLS, ENTRIES, MARKS, STATES, TURNS
from conversation.lifecycle import AgentState, ExitReason
from conversation.snapshot import MAX_ENTRIES, SnapshotEntry, read_state
from utils import wall_clock_ms

CALL_ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

_TURN_OF_OTHERS: Final = 50
"""Changes prepared before yielding to the event loop."""

_LAST_CALLS: Final = 20

_EMPTYING_ATTEMPTS: Final = 20
_EMPTYING_PAUSE_S: Final = 0.1

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_log = logging.getLogger("control.store")

_ENTRY: Final[TypeAdapter[SnapshotEntry]] = TypeAdapter(SnapshotEntry)
_CALL_TABLES: Final = (ENTRIES, STATES, TURNS, MARKS, BLACK_BOXES, ANALYSES, CALLS)
_TAKE_BACK: Final = delete(ENTRIES).where(
    ENTRIES.c.thread_id == bindparam("of_thread"), ENTRIES.c.number == bindparam("at")
)
# The time at which an entry was first recorded never changes.
_KEPT: Final = {ENTRIES: frozenset({"at_ms"})}


class Cursor(tuple[int, str]):
    """Cursor at the end of a page of calls: (started_at_ms, call_id)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Parse the `str` of a cursor.

        Raises:
            ValueError: the text is not a cursor.
        """
        found = re.fullmatch(rf"(\d{{1,18}})-({CALL_ID_PATTERN})", text, re.ASCII)
        if found is None:
            raise ValueError("not the `next` of a page")
        return cls((int(found[1]), found[2]))

    def __str__(self) -> str:
        return f"{self[0]}-{self[1]}"


class Store:
    """The database. Raises SQLAlchemy's and the operating system's errors; callers map them."""

    def __init__(self, url: URL, server_id: str) -> None:
        """server_id: owner of the calls that this server writes"""
        self._url = url
        self._engine = create_engine(url)
        self._server_id = server_id
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        self._insert: Any = dialect.insert

    async def open(self) -> None:
        """Create or migrate the tables, and end calls that were live when this server was killed;
        may be repeated after a failure.

        Raises:
            SQLAlchemyError, OSError: the database cannot be reached or written.
            CommandError: it has a newer schema.
        """
        await asyncio.to_thread(prepare_file, self._url)
        await migrate(self._engine)
        if count := await self._end_lost_calls():
            _log.warning("%d calls were live when this server was killed", count)

    async def close(self) -> None:
        """Close the database. Idempotent."""
        await self._engine.dispose()

    # -- writing ---------------------------------------------------------------------------------

    async def write(self, changes: Iterable[Change]) -> None:
        """Write all changes or none."""
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
        """Write that this call begins, unless another server has a live call, updated since then,
        with its conversation. Atomic across servers. Returns true if it was written.
        """
        is_thread = (CALLS.c.thread_id == record.thread_id) & (CALLS.c.team == record.team)
        theirs = is_thread & (CALLS.c.server_id != self._server_id)
        async with self._engine.begin() as connection:
            await take_turn(connection, _lock_number(record.thread_key))
            others = _records(await connection.execute(_open_calls(theirs)))
            if any(other.updated_at_ms >= since_ms for other in others):
                return False
            table, row = self._row(PutCall(record))
            await connection.execute(self._upsert(table), row)
        return True

    def _row(
        self,
        change: PutCall | PutEntry | PutState | PutTurn | PutMark | PutBox | PutAnalysis,
    ) -> tuple[Table, dict[str, Any]]:
        match change:
            case PutCall(record):
                return CALLS, row_of(record) | {"server_id": self._server_id}
            case PutEntry(thread_id, number, call_id, at_ms, entry):
                assert entry is not None
                keys = {"thread_id": thread_id, "number": number, "call_id": call_id}
                return ENTRIES, keys | {"at_ms": at_ms, "entry": _json(entry)}
            case PutState(thread_id, call_id, at_ms, state):
                keys = {"thread_id": thread_id, "call_id": call_id}
                return STATES, keys | {"at_ms": at_ms, "state": state}
            case PutTurn(call_id, turn):
                keys = {"call_id": call_id, "process": turn.process, "turn": turn.turn}
                return TURNS, keys | {"timings": _json(turn)}
            case PutMark(call_id, number, mark):
                return MARKS, {"call_id": call_id, "number": number, "mark": _json(mark)}
            case PutBox(call_id, box):
                return BLACK_BOXES, {"call_id": call_id, "content": _json(box)}
            case PutAnalysis(call_id, kind, wanted, content):
                keys = {"call_id": call_id, "kind": kind}
                values = {"state": content.state, "wanted": wanted, "content": _json(content)}
                return ANALYSES, keys | values

    def _upsert(self, table: Table) -> Executable:
        statement, kept = self._insert(table), _KEPT.get(table, frozenset())
        changed = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if not column.primary_key and column.name not in kept
        }
        keys = [column.name for column in table.primary_key]
        upsert: Executable = statement.on_conflict_do_update(index_elements=keys, set_=changed)
        return upsert

    # -- queries ----------------------------------------------------------------------------------

    async def calls(
        self,
        *,
        limit: int,
        wanted: CallFilter = ANY_CALL,
        after: Cursor | None = None,
    ) -> CallPage:
        """Return a page of the wanted calls, latest first, from the one that follows `after`."""
        texts = [row[0] for row in await self._rows(page_query(limit, wanted, after))]
        calls = [CallRecord.model_validate_json(text) for text in texts[:limit]]
        is_more = len(texts) > limit
        end = str(Cursor((calls[-1].started_at_ms, calls[-1].call_id))) if is_more else None
        return CallPage(calls=calls, next=end)

    async def call_ids(self, wanted: CallFilter) -> list[tuple[str, bool]]:
        """Return the ids of all wanted calls, each with whether it has ended."""
        query = select(CALLS.c.call_id, CALLS.c.ended_at_ms.is_not(None))
        rows = await self._rows(query.where(*wanted.conditions(wall_clock_ms())))
        return [(call_id, bool(has_ended)) for call_id, has_ended in rows]

    async def call(self, call_id: str) -> CallRecord | None:
        """Return the record; None if there is none."""
        rows = await self._rows(select(CALLS.c.record).where(CALLS.c.call_id == call_id))
        return CallRecord.model_validate_json(rows[0][0]) if rows else None

    async def details(self, call_id: str) -> CallDetails | None:
        """Return the record with turns and black box; None if there is none."""
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
        states = await self._rows(select(STATES.c.state).where(STATES.c.call_id == call_id))
        analyses = await self._rows(
            select(ANALYSES.c.kind, ANALYSES.c.content).where(ANALYSES.c.call_id == call_id)
        )
        made = {row[0]: row[1] for row in analyses}
        return CallDetails(
            **record.model_dump(),
            summary=_read(Summary, made.get("summary")),
            extraction=_read(Extraction, made.get("extraction")),
            call_state=read_state(states[0][0]) if states else {},
            turns=[CallTurn.model_validate_json(row[0]) for row in turns],
            black_box=BlackBox.model_validate_json(boxes[0][0]) if boxes else BlackBox(),
        )

    async def marks(self, call_id: str) -> list[CallMark]:
        """Return the stored marks of a call's timeline, their times in Unix ms; in no order."""
        rows = await self._rows(select(MARKS.c.mark).where(MARKS.c.call_id == call_id))
        return [CallMark.model_validate_json(row[0]) for row in rows]

    async def transcript(self, call_id: str) -> list[TranscriptEntry]:
        """Return the transcript of this call, oldest first."""
        wanted = select(ENTRIES.c.number, ENTRIES.c.at_ms, ENTRIES.c.entry).where(
            ENTRIES.c.call_id == call_id
        )
        rows = await self._rows(wanted.order_by(ENTRIES.c.number))
        return [_stamped(_numbered(number, entry), at_ms) for number, at_ms, entry in rows]

    async def thread(self, thread_id: str, limit: int = MAX_ENTRIES) -> list[SnapshotEntry]:
        """Return the last entries of a conversation across its calls, oldest first."""
        wanted = select(ENTRIES.c.number, ENTRIES.c.entry).where(ENTRIES.c.thread_id == thread_id)
        rows = await self._rows(wanted.order_by(ENTRIES.c.number.desc()).limit(limit))
        return [_numbered(number, entry) for number, entry in reversed(rows)]

    async def thread_state(self, thread_id: str) -> str:
        """Return the state (JSON) that an owner keeps with a conversation."""
        rows = await self._rows(select(STATES.c.state).where(STATES.c.thread_id == thread_id))
        return str(rows[0][0]) if rows else "{}"

    async def word_ends(self, call_ids: Sequence[str]) -> dict[str, int]:
        """Return, per conversation, one past the last entry number of these calls."""
        wanted = (
            select(ENTRIES.c.thread_id, func.max(ENTRIES.c.number))
            .where(ENTRIES.c.call_id.in_(call_ids))
            .group_by(ENTRIES.c.thread_id)
        )
        return {thread_id: number + 1 for thread_id, number in await self._rows(wanted)}

    async def ended_before(self, at_ms: int, limit: int, but: Collection[str] = ()) -> list[str]:
        """Return ids of ended calls begun before `at_ms`, oldest first, without those in `but`."""
        is_old = (CALLS.c.started_at_ms < at_ms) & CALLS.c.ended_at_ms.is_not(None)
        wanted = select(CALLS.c.call_id).where(is_old, CALLS.c.call_id.not_in(but))
        return await self._ids(wanted, limit)

    async def ended_beyond(self, count: int, limit: int, but: Collection[str] = ()) -> list[str]:
        """Return ids of ended calls in excess of `count`, oldest first, without those in `but`."""
        surplus = await self.count() - count - len(but)
        over = select(CALLS.c.call_id).where(
            CALLS.c.ended_at_ms.is_not(None), CALLS.c.call_id.not_in(but)
        )
        return await self._ids(over, min(limit, surplus)) if surplus > 0 else []

    async def count(self) -> int:
        """Return the number of calls of all servers."""
        return int((await self._rows(select(func.count()).select_from(CALLS)))[0][0])

    async def unknown(self, call_ids: Collection[str]) -> set[str]:
        """Return those of these calls that have no record."""
        wanted = select(CALLS.c.call_id).where(CALLS.c.call_id.in_(call_ids))
        return set(call_ids) - {row[0] for row in await self._rows(wanted)}

    async def last_heard_ms(self) -> int | None:
        """Return the latest update time among the newest calls; None if there are none."""
        wanted = select(CALLS.c.record).order_by(CALLS.c.started_at_ms.desc()).limit(_LAST_CALLS)
        stamps = [record.updated_at_ms for record in _records(await self._rows(wanted))]
        return max(stamps, default=None)

    async def _ids(self, wanted: Select[Any], limit: int) -> list[str]:
        return [
            row[0] for row in await self._rows(wanted.order_by(CALLS.c.started_at_ms).limit(limit))
        ]

    async def work(
        self, task: Callable[[AsyncConnection], Awaitable[T]], *, lock: str | None = None
    ) -> T:
        """Run a task in one transaction. lock: of those with the same, one runs at a time"""
        async with self._engine.begin() as connection:
            if lock is not None:
                await take_turn(connection, _lock_number(lock))
            return await task(connection)

    async def _rows(self, wanted: Select[Any]) -> list[Any]:
        async with self._engine.connect() as connection:
            return list(await connection.execute(wanted))

    # -- cleaning up -----------------------------------------------------------------------------

    async def delete(self, call_ids: Sequence[str]) -> None:
        """Delete these calls with their transcripts."""
        async with self._engine.begin() as connection:
            for table in _CALL_TABLES:
                await connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
        await self.empty_log()

    async def empty_log(self) -> None:
        """Remove deleted content from SQLite's write-ahead log."""
        if self._engine.dialect.name != "sqlite":
            return
        for _ in range(_EMPTYING_ATTEMPTS):
            async with self._engine.connect() as connection:
                row = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()
            if not row[0]:
                return
            # Blocked by a reader, whose query is short.
            await asyncio.sleep(_EMPTYING_PAUSE_S)
        # The next deletion or checkpoint truncates the log.
        _log.info("the write-ahead log still contains deleted content")

    async def end_silent_calls(self, before_ms: int) -> int:
        """End calls of other servers that were last updated before `before_ms`; return their number."""
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
            is_it = (CALLS.c.call_id == record.call_id) & CALLS.c.ended_at_ms.is_(None)
            async with self._engine.begin() as connection:
                await connection.execute(update_of(CALLS).where(is_it).values(row_of(changed)))
        return len(records)


def page_query(limit: int, wanted: CallFilter, after: Cursor | None) -> Select[Any]:
    """Return the query for a page of records and for one more, which shows if others follow."""
    started = (CALLS.c.started_at_ms, CALLS.c.call_id)
    query = select(CALLS.c.record).order_by(*(column.desc() for column in started))
    query = query.where(*wanted.conditions(wall_clock_ms()))
    if after is not None:
        place = tuple_(literal(after[0], BigInteger()), literal(after[1]))
        query = query.where(tuple_(*started) < place)
    return query.limit(limit + 1)


def _open_calls(wanted: ColumnElement[bool]) -> Select[Any]:
    return select(CALLS.c.record).where(CALLS.c.ended_at_ms.is_(None) & wanted)


def _records(rows: Iterable[Any]) -> list[CallRecord]:
    return [CallRecord.model_validate_json(row[0]) for row in rows]


def _lock_number(thread_id: str) -> int:
    return int.from_bytes(blake2b(thread_id.encode(), digest_size=8).digest(), signed=True)


def _read(model: type[M], text: str | None) -> M | None:
    return None if text is None else model.model_validate_json(text)


def _json(model: BaseModel) -> str:
    return model.model_dump_json()


def _numbered(number: int, entry: str) -> SnapshotEntry:
    return _ENTRY.validate_json(entry).model_copy(update={"number": number})


def _stamped(entry: SnapshotEntry, at_ms: int) -> TranscriptEntry:
    made = TextEntry if entry.type == "text" else ToolEntry
    return made(**entry.model_dump(), at_ms=at_ms)
