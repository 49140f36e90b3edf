"""`Deletions`: deletes calls, and everything of a person or of a conversation, wherever it is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from config.agent import team_key
from control.store.call_filter import CallFilter
from control.store.errors import CallIsLiveError, CallsAreLiveError
from control.store.memories import Memories
from control.store.records import Deleted
from control.store.store import Store
from control.store.threads import OpenThreads

BATCH: Final = 100
"""Calls that are deleted in one transaction, each batch within the deadline of a query."""


class Memory(Protocol):
    """Any other part of the server that keeps data of calls. Its methods return at once."""

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Drop all data of these ended calls, which are deleted."""
        ...


class Ask(Protocol):
    """Runs a query once all changes so far are on disk; raises `ArchiveError`s alone."""

    async def __call__(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """Run it."""
        ...


class Deletions:
    """Every deletion goes through `forget`.

    parts: other parts that keep data of calls
    forget_words: called with a live call's id and the entry number before which its conversation
        contains words of a deleted call
    """

    def __init__(
        self,
        store: Store,
        memories: Memories,
        threads: OpenThreads,
        ask: Ask,
        is_live: Callable[[str], bool],
        on_deleted: Callable[[Sequence[str]], Awaitable[int]] | None,
    ) -> None:
        """
        is_live: true for a call of this server that goes on
        on_deleted: deletes the files of these calls and returns how many there were; raises
            `NotDeletedError`
        """
        self.parts: list[Memory] = []
        self.forget_words: Callable[[str, int], None] | None = None
        self._store = store
        self._memories = memories
        self._threads = threads
        self._ask = ask
        self._is_live = is_live
        self._on_deleted = on_deleted

    async def forget(self, call_ids: Sequence[str]) -> int:
        """Delete calls; return how many files they had. Records are deleted last, so that a failed
        deletion can be repeated.
        """
        for thread_id, end in (await self._store.word_ends(call_ids)).items():
            holder = self._threads.holder(thread_id)
            if holder is not None and self.forget_words is not None:
                self.forget_words(holder, end)
        self.drop(call_ids)
        files = 0 if self._on_deleted is None else await self._on_deleted(call_ids)
        await self._store.delete(call_ids)
        return files

    def drop(self, call_ids: Collection[str]) -> None:
        """Have all other parts drop what they keep of these calls."""
        for part in self.parts:
            part.forget_calls(call_ids)

    async def call(self, call_id: str, *, has_ended: bool) -> None:
        """Delete a call, which is stored.

        Raises:
            CallIsLiveError: the call is live.
            NotDeletedError: its recording cannot be deleted.
        """
        if self._is_live(call_id) or not has_ended:
            raise CallIsLiveError(call_id)
        await self._ask(lambda: self.forget([call_id]))

    async def person(self, person_id: str, team: str) -> Deleted:
        """Delete all calls and memories of a person of a team.

        Raises:
            CallsAreLiveError: some of the calls are live; nothing is deleted.
            NotDeletedError: a recording cannot be deleted; its call and others are left.
        """
        wanted = CallFilter(person_id=person_id, team=team)
        return await self._all(wanted, team_key(team, person_id), ())

    async def thread(self, thread_id: str, team: str) -> Deleted:
        """Delete a conversation of a team: its calls, its state, and what was remembered under its
        name. Raises as `person`.
        """
        key = team_key(team, thread_id)
        # One that is about to begin has no record yet.
        holder = self._threads.holder(key)
        wanted = CallFilter(thread_id=thread_id, team=team)
        return await self._all(wanted, key, () if holder is None else (holder,))

    async def _all(self, wanted: CallFilter, memory_key: str, live: Iterable[str]) -> Deleted:
        found: list[tuple[str, bool]] = await self._ask(lambda: self._store.call_ids(wanted))
        going_on = {call_id for call_id, has_ended in found if not has_ended} | set(live)
        going_on |= {call_id for call_id, _ in found if self._is_live(call_id)}
        if going_on:
            raise CallsAreLiveError(going_on)
        call_ids, files = [call_id for call_id, _ in found], 0
        for at in range(0, len(call_ids), BATCH):
            files += await self._ask(partial(self.forget, call_ids[at : at + BATCH]))
        memories = await self._memories.delete(memory_key)
        return Deleted(calls=len(found), memories=memories, recordings=files)
