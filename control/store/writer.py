"""`Writer`: writes changes to the store in the background.

Changes are written in batches, one transaction each. While the store cannot be written they wait in
memory and are retried periodically; only `flush` waits for them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, Protocol

from sqlalchemy.exc import DataError, IntegrityError

from control.store.changes import MAX_PENDING, Change, PendingChanges, PutEntry, PutState
from control.store.errors import first_line
from utils import BacklogWarning, OwnedTasks

BATCH_S: Final = 0.25
"""Time that changes are collected into a batch, unless a `flush` waits."""

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 10.0
WRITE_DEADLINE_S: Final = 15.0
SLOW_S: Final = 1.5
"""Duration past which the store counts as slow: shorter than the wait of a stop."""

NUDGED_S: Final = 1.0
_LAST_FLUSH_S: Final = 5.0

_log = logging.getLogger("control.store")


class Writable(Protocol):
    """The part of a store that a writer uses."""

    async def open(self) -> None:
        """Open it for writing."""
        ...

    async def write(self, changes: list[Change]) -> None:
        """Write all changes or none."""
        ...


class Writer:
    """The store's only writer. problem: reason why it cannot write now, else None."""

    def __init__(self, store: Writable) -> None:
        self.problem: str | None = None
        self.is_open = False
        self._store = store
        self._pending = PendingChanges()
        self._backlog = BacklogWarning(_log, "of changes to store", MAX_PENDING // 20)
        # The batch being written, and since when; None while idle.
        self._batch: list[Change] = []
        self._began_s: float | None = None
        self._took_s = 0.0
        self._failed_at_s = 0.0
        # Flushes that wait for the end of the next attempt; the result is its success.
        self._waiting: list[asyncio.Future[bool]] = []
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    @property
    def waiting(self) -> int:
        """Number of changes that are only in memory."""
        return len(self._pending)

    @property
    def given_up(self) -> int:
        """Number of changes dropped because too many waited."""
        return self._pending.given_up

    @property
    def is_slow(self) -> bool:
        """True if the current or the last attempt is slow: not worth waiting for."""
        under_way_s = 0.0 if self._began_s is None else time.monotonic() - self._began_s
        return max(self._took_s, under_way_s) >= SLOW_S

    def has_words_of(self, thread_id: str) -> bool:
        """Return true if entries or the state of this conversation are only in memory."""
        return any(
            isinstance(change, PutEntry | PutState) and change.thread_id == thread_id
            for change in (*self._pending, *self._batch)
        )

    def nudge(self) -> None:
        """Retry soon, for a query that could not be answered; limited in rate."""
        if self.problem is not None and time.monotonic() - self._failed_at_s >= NUDGED_S:
            self._urgent.set()

    def start(self) -> None:
        """Start opening and writing."""
        self._tasks.start(self._run(), name="store writer")

    def put(self, change: Change) -> None:
        """Queue a change; returns at once."""
        self._pending.put(change)
        self._backlog.observe(self.waiting)
        self._changed.set()

    async def flush(self, deadline_s: float) -> bool:
        """Return true if all queued changes are on disk within the deadline. One attempt is made at
        once; after its failure no further one is waited for.
        """
        if not self._tasks:
            return False
        if self.is_open and not self._pending and self._began_s is None:
            return True
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._urgent.set()
        self._changed.set()
        await asyncio.wait([done], timeout=deadline_s)
        return done.done() and done.result()

    async def close(self) -> None:
        """Write pending changes; those that cannot be written are lost. Idempotent."""
        if self._tasks and not await self.flush(_LAST_FLUSH_S):
            _log.error("the last changes were not stored: %s", self.problem or "the store is slow")
        await self._tasks.close()

    # -- writing ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            await self._changed_for_a_while()
            waiting, self._waiting = self._waiting, []
            is_good = await self._is_attempt_good()
            for done in waiting:
                done.set_result(is_good)
            if is_good:
                retry_s = FIRST_RETRY_S
            else:
                # A waiting flush triggers one immediate retry, not a loop of them.
                await _wait(self._urgent, retry_s)
                retry_s = min(LONGEST_RETRY_S, 2 * retry_s)

    async def _changed_for_a_while(self) -> None:
        if not self.is_open:
            return
        await self._changed.wait()
        await _wait(self._urgent, BATCH_S)

    async def _is_attempt_good(self) -> bool:
        self._changed.clear()
        self._urgent.clear()
        changes = self._batch = self._pending.take()
        self._began_s = time.monotonic()
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await self._attempt(changes)
        except Exception as error:  # noqa: BLE001 - drivers raise many kinds; calls go on in any case
            self._pending.put_back(changes)
            self._changed.set()
            self._note_problem(first_line(error))
            self._failed_at_s = time.monotonic()
            return False
        finally:
            self._took_s = time.monotonic() - self._began_s
            self._began_s, self._batch = None, []
        self._note_problem(None)
        return True

    async def _attempt(self, changes: list[Change]) -> None:
        if not self.is_open:
            await self._store.open()
            self.is_open = True
        if not changes:
            return
        try:
            await self._store.write(changes)
        except (DataError, IntegrityError):
            await self._write_one_by_one(changes)

    async def _write_one_by_one(self, changes: list[Change]) -> None:
        """Write changes singly, so that one that can never be written does not block the others."""
        for change in changes:
            try:
                await self._store.write([change])
            except (DataError, IntegrityError) as error:
                # Without the error's text: drivers repeat the value in it.
                cause = type(error.orig).__name__
                _log.error("%s cannot be stored: %s", type(change).__name__, cause)

    def _note_problem(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            _log.warning("the store cannot be written, calls go on: %s", problem)
        if problem is None and self.problem is not None:
            _log.warning("the store can be written again; %d changes were lost", self.given_up)
        self.problem = problem


async def _wait(event: asyncio.Event, deadline_s: float) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            await event.wait()
    except TimeoutError:
        pass
