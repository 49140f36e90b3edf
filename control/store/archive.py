"""`Archive`: all that the server remembers of calls, live and past. What it answers is on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeVar

from sqlalchemy.engine import URL

from config import AgentConfig
from control.placement import AgentStatus
from control.store.changes import DropCall
from control.store.data_folder import DataFolder
from control.store.errors import (
    CallIsLiveError,
    StoreUnavailableError,
    ThreadBusyError,
    UnknownCallError,
)
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
from control.store.retention import FOREVER, SWEEP_S, Retention
from control.store.store import Store
from control.store.threads import OpenThreads
from control.store.writer import Writer
from conversation.remembered import continued
from utils import OwnedTasks, wall_clock_ms

ANSWER_DEADLINE_S: Final = 5.0
"""How long somebody who asks waits for the store."""

HEARD_OF_MS: Final = 60_000
"""A call of another server that was not heard of for so long holds its conversation no more."""

GONE_MS: Final = 3_600_000
"""A server that was not heard of for so long is gone, and its calls with it."""

STOP_DEADLINE_S: Final = 2.0
"""How long the answer to a stop waits for the record to be written."""

T = TypeVar("T")

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
        on_deleted: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    ) -> None:
        """
        folder: closed with the archive
        on_deleted: has what else there is of these calls deleted
        """
        self._folder = folder
        self._store = Store(url, server_id)
        self._retention = retention
        self._on_deleted = on_deleted
        self._writer = Writer(self._store)
        self._threads = OpenThreads()
        self.recorder = Recorder(self._writer.put, on_end=self._threads.release)
        self._tasks = OwnedTasks(_log)

    def start(self, agents: Callable[[], Iterable[AgentStatus]]) -> None:
        """Begin to open the store and to write; agents: those that are live"""
        self._writer.start()
        self._tasks.start(self.recorder.run(agents), name="call recorder")
        self._tasks.start(self._sweep_now_and_then(), name="retention")

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
        return found

    async def settle(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Whether all that happened so far is on disk, or is within the deadline."""
        return await self._writer.flush(deadline_s)

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
            await self._claim(config)
            entries = await self._ask(lambda: self._store.thread(config.thread_id))
        except BaseException:
            self.give_up_call(config)
            raise
        return config.model_copy(update={"conversation_seed": continued(entries)})

    async def _claim(self, config: AgentConfig) -> None:
        record = first_record(config, at_ms=wall_clock_ms())
        since_ms = record.started_at_ms - HEARD_OF_MS
        if not await self._ask(lambda: self._store.claim(record, since_ms)):
            raise ThreadBusyError(config.thread_id)

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
        """
        record = await self._record(call_id)
        if self.recorder.is_live(call_id) or record.ended_at_ms is None:
            raise CallIsLiveError(call_id)
        await self._ask(lambda: self._store.delete([call_id]))
        await self._tell_deleted([call_id])

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer, once all that it could tell of is on disk.

        Raises:
            StoreUnavailableError: there is none within the deadline.
        """
        if not await self._writer.flush(ANSWER_DEADLINE_S):
            raise StoreUnavailableError(self._writer.problem or "it is slow")
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                return await question()
        except TimeoutError:
            raise StoreUnavailableError("it is slow") from None
        except Exception as error:
            _log.exception("the store cannot be read")
            raise StoreUnavailableError("it cannot be read; see the server's log") from error

    # -- keeping ---------------------------------------------------------------------------------

    async def _sweep_now_and_then(self) -> None:
        while True:
            try:
                if await self._writer.flush(ANSWER_DEADLINE_S):
                    await self.sweep()
            except Exception:  # noqa: BLE001 - drivers have many, and there is a next time
                _log.exception("old calls could not be deleted")
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Delete the calls that are kept no longer, and end those of servers that are gone."""
        await self._store.end_silent_calls(wall_clock_ms() - GONE_MS)
        async for call_ids in self._retention.sweep(self._store, now_ms=wall_clock_ms()):
            _log.info("%d old calls were deleted", len(call_ids))
            await self._tell_deleted(call_ids)

    async def _tell_deleted(self, call_ids: list[str]) -> None:
        if self._on_deleted is not None:
            await self._on_deleted(call_ids)


def _closed(entry: TranscriptEntry) -> TranscriptEntry:
    """Nothing more came of what was open when the call ended."""
    if isinstance(entry, TextEntry) and entry.is_open:
        return entry.model_copy(update={"is_open": False, "is_cut": True})
    return entry


def _known(found: T | None) -> T:
    if found is None:
        raise UnknownCallError
    return found
