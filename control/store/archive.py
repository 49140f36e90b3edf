"""`Archive`: stored calls, live and past. Every answer is on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal, TypeVar

from sqlalchemy.engine import URL

from config.agent import AgentConfig
from control.placement import AgentStatus
from control.store.analyses import Analyses
from control.store.audit_table import AuditTable
from control.store.call_filter import CallFilter
from control.store.changes import DropCall
from control.store.cleanup import Cleanup
from control.store.data_folder import DataFolder
from control.store.deletions import Deletions, Memory
from control.store.errors import (
    ArchiveError,
    StoreUnavailableError,
    ThreadBusyError,
    UnknownCallError,
    first_line,
)
from control.store.key_table import KeyTable
from control.store.live_call import first_record
from control.store.memories import Memories
from control.store.recorder import Recorder
from control.store.records import (
    CallDetails,
    CallMark,
    CallPage,
    CallRecord,
    TextEntry,
    Transcript,
    TranscriptEntry,
)
from control.store.retention import FOREVER, Retention
from control.store.store import Store
from control.store.threads import OpenThreads
from control.store.writer import Writer
from conversation.snapshot import ResumeState, continued
from utils import OwnedTasks, wall_clock_ms

ANSWER_DEADLINE_S: Final = 5.0
"""Deadline of a query."""

HEARD_OF_MS: Final = 60_000
"""Age of the last update after which another server's call no longer holds its conversation."""

START_DEADLINE_S: Final = 5.0
"""Deadline of loading the conversation that a start continues."""

SLOW_START_DEADLINE_S: Final = 1.0
"""The same if the store is known to be slow."""

FOLLOW_S: Final = 30.0
"""Interval of checking which calls other servers of a shared database have deleted."""

STOP_DEADLINE_S: Final = 2.0
"""Time that the answer to a stop waits for the record to be written."""

T = TypeVar("T")
R = TypeVar("R", bound=CallRecord)

_log = logging.getLogger("control.store")


class Archive:
    """Store, writer and recorder of one server. Before `start`, nothing is stored or answered."""

    def __init__(
        self,
        url: URL,
        server_id: str,
        retention: Retention = FOREVER,
        *,
        folder: DataFolder | None = None,
        is_shared: bool = True,
        on_deleted: Callable[[Sequence[str]], Awaitable[int]] | None = None,
    ) -> None:
        """
        folder: closed with the archive
        is_shared: other servers may use the same database
        on_deleted: see `Deletions`
        """
        self._folder = folder
        self._is_shared = is_shared
        self._store = Store(url, server_id)
        self._ended_calls: Callable[[], Collection[str]] = list
        self._writer = Writer(self._store)
        self._threads = OpenThreads()
        self.memories = Memories(self._store, self._ask_open)
        self.analyses = Analyses(self._store, self._ask, server_id)
        self.keys = KeyTable(self._store, self._ask_open)
        self.audit = AuditTable(self._store, self._ask_open)
        self.recorder = Recorder(self._writer.put, on_end=self._threads.release)
        self.deletions = Deletions(
            self._store, self.memories, self._threads, self._ask, self.recorder.is_live, on_deleted
        )
        self._keeper = Cleanup(
            self._store,
            retention,
            self.deletions.forget,
            lambda: self._writer.flush(ANSWER_DEADLINE_S),
            folder,
        )
        self._tasks = OwnedTasks(_log)

    def start(self, agents: Callable[[], Iterable[AgentStatus]]) -> None:
        """Start to open the store and to write. agents: returns the live agents"""
        self._writer.start()
        self._tasks.start(self.recorder.run(agents), name="call recorder")
        self._tasks.start(self._keeper.run(), name="retention")
        if self._is_shared:
            self._tasks.start(self._follow_deletions(), name="deletions of others")

    def share_deletions(
        self,
        memories: Iterable[Memory],
        forget_words: Callable[[str, int], None],
        ended_calls: Callable[[], Collection[str]],
    ) -> None:
        """Set the other parts that must drop deleted calls.

        memories: other parts that keep data of calls
        forget_words: called with a live call's id and the entry number before which its
            conversation contains words of a deleted call
        ended_calls: ended calls of which something is still kept
        """
        self.deletions.parts = list(memories)
        self.deletions.forget_words = forget_words
        self._ended_calls = ended_calls

    async def close(self) -> None:
        """Write pending changes and close the store. Idempotent."""
        await self._tasks.close()
        await self._writer.close()
        await self._store.close()
        if self._folder is not None:
            self._folder.close()

    @property
    def state(self) -> Literal["ready", "opening", "unavailable"]:
        """State of the store: `unavailable` if it cannot be written now."""
        if self._writer.problem is not None:
            return "unavailable"
        return "ready" if self._writer.is_open else "opening"

    @property
    def waiting(self) -> int:
        """Changes that are only in memory."""
        return self._writer.waiting

    @property
    def given_up(self) -> int:
        """Changes that were never written because too many waited."""
        return self._writer.given_up

    def warnings(self) -> list[str]:
        """Return warnings for the readiness page."""
        writer, found = self._writer, []
        if writer.problem is not None:
            # The page is public: the exact error is only in the log.
            text = f"store: it cannot be written, {writer.waiting} changes wait in memory"
            found.append(text)
        if writer.given_up:
            found.append(
                f"store: {writer.given_up} changes were lost while it could not be written"
            )
        if self._keeper.problem is not None:
            found.append(f"store: no calls are deleted by age or number: {self._keeper.problem}")
        return found

    async def settle(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Return true if all changes so far are on disk within the deadline. A store known to be
        down or slow is not waited for.
        """
        if self._writer.problem is not None:
            self._writer.nudge()
            return False
        return await self._writer.flush(0.0 if self._writer.is_slow else deadline_s)

    # -- conversations ---------------------------------------------------------------------------

    async def open_call(self, config: AgentConfig) -> AgentConfig:
        """Return `config` with the conversation that it continues, held by this call until its end.

        Raises:
            ThreadBusyError: another live call has it.
            StoreUnavailableError: it cannot be read.
        """
        self._threads.claim(config.thread_key, config.agent_id)
        if not config.thread_id:
            return config.model_copy(update={"thread_id": config.agent_id})
        try:
            is_slow = self._writer.is_open and self._writer.is_slow
            async with asyncio.timeout(SLOW_START_DEADLINE_S if is_slow else START_DEADLINE_S):
                seed = await self._claim(config)
        except TimeoutError:
            self.give_up_call(config)
            raise StoreUnavailableError("it is slow") from None
        except BaseException:
            self.give_up_call(config)
            raise
        return config.model_copy(update={"conversation_seed": seed})

    async def _claim(self, config: AgentConfig) -> ResumeState:
        """Return the conversation, once no other server holds it."""
        thread_id = config.thread_key
        if not self._is_shared:
            # Within this server it is claimed already, and pending changes of other conversations
            # do not matter to this query.
            is_writable = self._writer.is_open and self._writer.problem is None
            is_known = is_writable and not self._writer.has_words_of(thread_id)
            return await self._ask(lambda: self._continued(thread_id), should_flush=not is_known)
        record = first_record(config, at_ms=wall_clock_ms())
        since_ms = record.started_at_ms - HEARD_OF_MS
        if not await self._ask(lambda: self._store.claim(record, since_ms)):
            raise ThreadBusyError(config.thread_id)
        return await self._ask(lambda: self._continued(thread_id))

    async def _continued(self, thread_id: str) -> ResumeState:
        entries = await self._store.thread(thread_id)
        return continued(entries, await self._store.thread_state(thread_id))

    def give_up_call(self, config: AgentConfig) -> None:
        """Release the conversation of a call that never began or is over. Idempotent."""
        is_written = config.thread_id not in ("", config.agent_id)
        if self._threads.release(config.agent_id) and is_written:
            self._writer.put(DropCall(config.agent_id))

    # -- queries ----------------------------------------------------------------------------------

    async def calls(self, **wanted: Any) -> CallPage:
        """See `Store.calls`."""
        return await self._ask(lambda: self._store.calls(**wanted))

    async def details(self, call_id: str, *, team: str | None = None) -> CallDetails:
        """Return everything stored of one call. team: whose it is; None: anyone's

        Raises:
            UnknownCallError: the team has no such call.
        """
        self.recorder.put_call(call_id)
        return _known(await self._ask(lambda: self._store.details(call_id)), team)

    async def marks(self, call_id: str) -> list[CallMark]:
        """See `Store.marks`."""
        return await self._ask(lambda: self._store.marks(call_id))

    async def transcript(self, call_id: str, *, team: str | None = None) -> Transcript:
        """Return the transcript of a call. team: as in `details`

        Raises:
            UnknownCallError: the team has no such call.
        """
        return await self._transcript(await self.record(call_id, team=team))

    async def channel_transcript(self, channel_name: str, *, team: str | None = None) -> Transcript:
        """Return the transcript of the channel's latest call. team: as in `details`

        Raises:
            UnknownCallError: the team had no call in the channel.
        """
        page = await self.calls(limit=1, wanted=CallFilter(channel_name=channel_name, team=team))
        return await self._transcript(_known(page.calls[0] if page.calls else None, team))

    async def record(self, call_id: str, *, team: str | None = None) -> CallRecord:
        """Return the record of a call. team: as in `details`

        Raises:
            UnknownCallError: the team has no such call.
        """
        return _known(await self._ask(lambda: self._store.call(call_id)), team)

    async def _transcript(self, record: CallRecord) -> Transcript:
        entries = await self._ask(lambda: self._store.transcript(record.call_id))
        is_live = record.ended_at_ms is None
        return Transcript(
            call_id=record.call_id,
            thread_id=record.thread_id,
            channel_name=record.channel_name,
            is_live=is_live,
            entries=entries if is_live else [_closed(entry) for entry in entries],
        )

    async def delete(self, call_id: str, *, team: str | None = None) -> None:
        """Delete a call with its transcript and recording. team: as in `details`

        Raises:
            UnknownCallError: the team has no such call.
            CallIsLiveError: the call is live.
            NotDeletedError: its recording cannot be deleted.
        """
        record = await self.record(call_id, team=team)
        await self.deletions.call(call_id, has_ended=record.ended_at_ms is not None)

    async def _ask(self, question: Callable[[], Awaitable[T]], *, should_flush: bool = True) -> T:
        """Run a query once all pending changes are on disk. A store known to be down is not waited
        for: it is retried in the background.

        Raises:
            StoreUnavailableError: no answer within the deadline.
        """
        if should_flush:
            await self._flush()
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                return await question()
        except TimeoutError:
            raise StoreUnavailableError("it is slow") from None
        except ArchiveError:
            raise
        except Exception as error:
            _log.error("store read failed: %s", first_line(error))
            raise StoreUnavailableError("it cannot be read; see the server's log") from error

    async def _ask_open(self, question: Callable[[], Awaitable[T]]) -> T:
        """Run a query to which pending changes do not matter, once the store is open."""
        return await self._ask(question, should_flush=not self._writer.is_open)

    async def _flush(self) -> None:
        if (problem := self._writer.problem) is not None:
            self._writer.nudge()
            raise StoreUnavailableError(problem)
        if not await self._writer.flush(ANSWER_DEADLINE_S):
            raise StoreUnavailableError(self._writer.problem or "it is slow")

    async def _follow_deletions(self) -> None:
        """Drop calls that other servers of the database deleted, periodically."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                await self.follow_deletions()
            except ArchiveError:
                continue  # retried at the next round; already logged

    async def follow_deletions(self) -> None:
        """Drop calls that other servers of the database deleted.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        call_ids = set(self._ended_calls())
        if not call_ids or self._writer.given_up:
            # A record that was never written would look deleted.
            return
        if gone := await self._ask(lambda: self._store.unknown(call_ids)):
            self.deletions.drop(gone)

    async def sweep(self) -> None:
        """Delete calls past retention, and end calls of servers that are gone."""
        await self._keeper.sweep()


def _closed(entry: TranscriptEntry) -> TranscriptEntry:
    """Return the entry as cut if it was open when the call ended."""
    if isinstance(entry, TextEntry) and entry.is_open:
        return entry.model_copy(update={"is_open": False, "is_cut": True})
    return entry


def _known(found: R | None, team: str | None) -> R:
    if found is None or team not in (None, found.team):
        raise UnknownCallError
    return found
