"""`Archive`: all that the server remembers of calls, live and past. What it answers is on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

from sqlalchemy.engine import URL

from config import AgentConfig
from control.placement import AgentStatus
from control.store.changes import DropCall
from control.store.data_folder import DataFolder
from control.store.errors import (
    ArchiveError,
    CallIsLiveError,
    StoreUnavailableError,
    ThreadBusyError,
    UnknownCallError,
    first_line,
)
from control.store.keeper import Keeper
from control.store.live_call import first_record
from control.store.recorder import Recorder
from control.store.records import (
    CallDetails,
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
from conversation.remembered import RememberedEntry, continued
from utils import OwnedTasks, wall_clock_ms

ANSWER_DEADLINE_S: Final = 5.0
"""How long somebody who asks waits for the store."""

HEARD_OF_MS: Final = 60_000
"""A call of another server that was not heard of for so long holds its conversation no more."""

START_DEADLINE_S: Final = 5.0
"""How long a start waits for the conversation that it continues."""

SLOW_START_DEADLINE_S: Final = 1.0
"""The same where the store is known to be slow."""

FOLLOW_S: Final = 30.0
"""How often a server of a shared database looks which of its calls others have deleted."""

STOP_DEADLINE_S: Final = 2.0
"""How long the answer to a stop waits for the record to be written."""

T = TypeVar("T")

_log = logging.getLogger("control.store")


class Memory(Protocol):
    """Whatever else in the server remembers calls. Its methods return at once."""

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """These calls, which are over, are deleted: keep nothing of them."""
        ...


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
        on_deleted: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    ) -> None:
        """
        folder: closed with the archive
        is_shared: whether other servers may use the same database
        on_deleted: has the files of these calls deleted, or raises `NotDeletedError`
        """
        self._folder = folder
        self._is_shared = is_shared
        self._store = Store(url, server_id)
        self._on_deleted = on_deleted
        self._memories: list[Memory] = []
        self._forget_words: Callable[[str, int], None] | None = None
        self._ended_calls: Callable[[], Collection[str]] = list
        self._writer = Writer(self._store)
        self._threads = OpenThreads()
        self.recorder = Recorder(self._writer.put, on_end=self._threads.release)
        self._keeper = Keeper(
            self._store,
            retention,
            self._forget,
            lambda: self._writer.flush(ANSWER_DEADLINE_S),
            folder,
        )
        self._tasks = OwnedTasks(_log)

    def start(self, agents: Callable[[], Iterable[AgentStatus]]) -> None:
        """Begin to open the store and to write; agents: those that are live"""
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
        """Have calls that are deleted here forgotten there too.

        memories: all others that remember calls
        forget_words: told of a live call, and before which place of its conversation words of a call
            is deleted were said
        ended_calls: those that something is still told of
        """
        self._memories = list(memories)
        self._forget_words = forget_words
        self._ended_calls = ended_calls

    async def close(self) -> None:
        """Write what there is and let go of the store. Idempotent."""
        await self._tasks.close()
        await self._writer.close()
        await self._store.close()
        if self._folder is not None:
            self._folder.close()

    @property
    def state(self) -> Literal["ready", "opening", "unavailable"]:
        """Whether it can be written at present."""
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
        """What people should know of."""
        writer, found = self._writer, []
        if writer.problem is not None:
            # Anybody may read this: what exactly is wrong is in the log.
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
        """Whether all that happened so far is on disk, or is within the deadline. A store that is
        known to be down or slow is not waited for.
        """
        if self._writer.problem is not None:
            self._writer.nudge()
            return False
        return await self._writer.flush(0.0 if self._writer.is_slow else deadline_s)

    # -- conversations ---------------------------------------------------------------------------

    async def open_call(self, config: AgentConfig) -> AgentConfig:
        """With the conversation that it continues, which is nobody else's until the call is over.

        Raises:
            ThreadBusyError: another live call has it.
            StoreUnavailableError: it cannot be read.
        """
        self._threads.claim(config.thread_id or config.agent_id, config.agent_id)
        if not config.thread_id:
            return config.model_copy(update={"thread_id": config.agent_id})
        try:
            is_slow = self._writer.is_open and self._writer.is_slow
            async with asyncio.timeout(SLOW_START_DEADLINE_S if is_slow else START_DEADLINE_S):
                entries = await self._claim(config)
        except TimeoutError:
            self.give_up_call(config)
            raise StoreUnavailableError("it is slow") from None
        except BaseException:
            self.give_up_call(config)
            raise
        return config.model_copy(update={"conversation_seed": continued(entries)})

    async def _claim(self, config: AgentConfig) -> list[RememberedEntry]:
        """What was said in the conversation, which no other server has now."""
        thread_id = config.thread_id
        if not self._is_shared:
            # Within this server it is claimed already; and whatever else is still to be written is
            # nothing to those who read.
            is_writable = self._writer.is_open and self._writer.problem is None
            is_known = is_writable and not self._writer.has_words_of(thread_id)
            return await self._ask(lambda: self._store.thread(thread_id), should_flush=not is_known)
        record = first_record(config, at_ms=wall_clock_ms())
        since_ms = record.started_at_ms - HEARD_OF_MS
        if not await self._ask(lambda: self._store.claim(record, since_ms)):
            raise ThreadBusyError(thread_id)
        return await self._ask(lambda: self._store.thread(thread_id))

    def give_up_call(self, config: AgentConfig) -> None:
        """It never began, or is over: its conversation is free. Idempotent."""
        is_written = config.thread_id not in ("", config.agent_id)
        if self._threads.release(config.agent_id) and is_written:
            self._writer.put(DropCall(config.agent_id))

    # -- asking ----------------------------------------------------------------------------------

    async def calls(self, **wanted: Any) -> CallPage:
        """See `Store.calls`."""
        return await self._ask(lambda: self._store.calls(**wanted))

    async def details(self, call_id: str) -> CallDetails:
        """Everything of one call.

        Raises:
            UnknownCallError: there is none.
        """
        self.recorder.put_call(call_id)
        return _known(await self._ask(lambda: self._store.details(call_id)))

    async def transcript(self, call_id: str) -> Transcript:
        """What was said in a call.

        Raises:
            UnknownCallError: there is none.
        """
        return await self._transcript(await self._record(call_id))

    async def channel_transcript(self, channel_name: str) -> Transcript:
        """What was said in the channel's latest call.

        Raises:
            UnknownCallError: there was none.
        """
        page = await self.calls(limit=1, channel_name=channel_name)
        return await self._transcript(_known(page.calls[0] if page.calls else None))

    async def _record(self, call_id: str) -> CallRecord:
        return _known(await self._ask(lambda: self._store.call(call_id)))

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

    async def delete(self, call_id: str) -> None:
        """Forget a call with all that was said in it.

        Raises:
            UnknownCallError: there is none.
            CallIsLiveError: it goes on.
            NotDeletedError: its recording cannot be deleted.
        """
        record = await self._record(call_id)
        if self.recorder.is_live(call_id) or record.ended_at_ms is None:
            raise CallIsLiveError(call_id)
        await self._ask(lambda: self._forget([call_id]))

    async def _forget(self, call_ids: list[str]) -> None:
        """The one way in which calls are deleted. Their records go last: whatever fails before can
        be tried again.
        """
        for thread_id, end in (await self._store.word_ends(call_ids)).items():
            holder = self._threads.holder(thread_id)
            if holder is not None and self._forget_words is not None:
                self._forget_words(holder, end)
        for memory in self._memories:
            memory.forget_calls(call_ids)
        if self._on_deleted is not None:
            await self._on_deleted(call_ids)
        await self._store.delete(call_ids)

    async def _ask(self, question: Callable[[], Awaitable[T]], *, should_flush: bool = True) -> T:
        """The answer, once all that it could tell of is on disk. A store that is known to be down is
        not waited for: it is tried again behind everybody's back.

        Raises:
            StoreUnavailableError: there is none within the deadline.
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
            _log.error("the store cannot be read: %s", first_line(error))
            raise StoreUnavailableError("it cannot be read; see the server's log") from error

    async def _flush(self) -> None:
        if (problem := self._writer.problem) is not None:
            self._writer.nudge()
            raise StoreUnavailableError(problem)
        if not await self._writer.flush(ANSWER_DEADLINE_S):
            raise StoreUnavailableError(self._writer.problem or "it is slow")

    async def _follow_deletions(self) -> None:
        """Forget, now and then, what another server of the same database deleted."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                await self.follow_deletions()
            except ArchiveError:
                continue  # It is tried again, and said already.

    async def follow_deletions(self) -> None:
        """Forget what another server of the same database deleted.

        Raises:
            StoreUnavailableError: that is not known now.
        """
        call_ids = set(self._ended_calls())
        if not call_ids or self._writer.given_up:
            # What was never written is not deleted.
            return
        if gone := await self._ask(lambda: self._store.unknown(call_ids)):
            for memory in self._memories:
                memory.forget_calls(gone)

    async def sweep(self) -> None:
        """Delete the calls that are kept no longer, and end those of servers that are gone."""
        await self._keeper.sweep()


def _closed(entry: TranscriptEntry) -> TranscriptEntry:
    """Nothing more came of what was open when the call ended."""
    if isinstance(entry, TextEntry) and entry.is_open:
        return entry.model_copy(update={"is_open": False, "is_cut": True})
    return entry


def _known(found: T | None) -> T:
    if found is None:
        raise UnknownCallError
    return found
