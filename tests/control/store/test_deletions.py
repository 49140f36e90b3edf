"""Everything of a person or of a conversation is deleted together, and nothing of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.engine import URL

from config.agent import team_key
from control.store.archive import Archive
from control.store.call_filter import CallFilter
from control.store.deletions import BATCH
from control.store.errors import CallsAreLiveError, NotDeletedError
from control.store.store import Store
from conversation.memory import SaveMemory
from tests.control.store.samples import config, put_call, put_entry, text
from tests.control.store.test_archive import end, opened
from utils import wall_clock_ms


class Files:
    """Recordings of these calls; those in `stuck` cannot be deleted."""

    def __init__(self, *call_ids: str) -> None:
        self.left = set(call_ids)
        self.stuck: set[str] = set()

    async def delete(self, call_ids: Sequence[str]) -> int:
        if kept := self.stuck & set(call_ids):
            raise NotDeletedError(kept)
        count = len(self.left & set(call_ids))
        self.left -= set(call_ids)
        return count


async def ids(archive: Archive) -> set[str]:
    return {call.call_id for call in (await archive.calls(limit=500)).calls}


def over(call_id: str, **more: Any) -> Any:
    return put_call(call_id, ended_at_ms=1_700_000_001_000, **more)


async def fill(url: URL, *changes: Any) -> None:
    store = Store(url, "other")
    await store.open()
    await store.write(changes)
    await store.close()


@pytest.mark.asyncio
async def test_all_of_a_person_goes_and_nothing_of_others(url: URL) -> None:
    many = [f"ann-{number}" for number in range(BATCH + 5)]
    await fill(
        url,
        *(over(name, person_id="ann", thread_id=f"t-{name}") for name in many),
        *(put_entry(0, text(0), name, f"t-{name}") for name in many),
        over("bob-1", person_id="bob", thread_id="ann"),
        over("ann-of-team", person_id="ann", team="red"),
        over("of-nobody"),
    )
    files = Files("ann-3", "ann-104", "bob-1")
    async with opened(url, on_deleted=files.delete) as archive:
        for key in ("ann", "bob", team_key("red", "ann")):
            await archive.memories.answer(key, SaveMemory(text=f"of {key}"))
        await archive.memories.answer("ann", SaveMemory(text="more"))
        deleted = await archive.deletions.person("ann", "")
        assert (deleted.calls, deleted.memories, deleted.recordings) == (BATCH + 5, 2, 2)
        assert await ids(archive) == {"bob-1", "ann-of-team", "of-nobody"}
        assert files.left == {"bob-1"}
        assert await archive.memories.texts("ann") == []
        assert len(await archive.memories.texts("bob")) == 1
        assert len(await archive.memories.texts(team_key("red", "ann"))) == 1
        again = await archive.deletions.person("ann", "")
        assert (again.calls, again.memories, again.recordings) == (0, 0, 0)
        assert (await archive.deletions.person("ann", "red")).calls == 1
        assert await ids(archive) == {"bob-1", "of-nobody"}


@pytest.mark.asyncio
async def test_nothing_is_deleted_while_a_call_of_theirs_is_live(url: URL) -> None:
    await fill(
        url,
        over("first", person_id="ann", thread_id="t"),
        put_call("lost", person_id="eve", updated_at_ms=wall_clock_ms()),
    )
    async with opened(url) as archive:
        live = await archive.open_call(config("second", thread_id="t", person_id="ann"))
        archive.recorder.handle_start(live, restarts=0)
        await archive.memories.answer("ann", SaveMemory(text="of ann"))
        for deletion in (archive.deletions.person("ann", ""), archive.deletions.thread("t", "")):
            with pytest.raises(CallsAreLiveError) as refused:
                await deletion
            assert refused.value.call_ids == ("second",)
        # Of another server of the database.
        with pytest.raises(CallsAreLiveError):
            await archive.deletions.person("eve", "")
        assert await ids(archive) == {"first", "second", "lost"}
        assert len(await archive.memories.texts("ann")) == 1
        end(archive, "second")
        assert (await archive.deletions.person("ann", "")).calls == 2
        # One that is about to begin has no record yet.
        await archive.open_call(config("third", thread_id="t"))
        with pytest.raises(CallsAreLiveError):
            await archive.deletions.thread("t", "")


@pytest.mark.asyncio
async def test_all_of_a_conversation_goes_and_nothing_of_others(url: URL) -> None:
    await fill(
        url,
        *(over(f"agent-{number}", thread_id="t", person_id="ann") for number in range(3)),
        *(put_entry(number, text(number), f"agent-{number}", "t") for number in range(3)),
        over("other", thread_id="u", person_id="t"),
        put_entry(0, text(0), "other", "u"),
        over("of-team", thread_id="t", team="red"),
    )
    async with opened(url) as archive:
        await archive.memories.answer("t", SaveMemory(text="under its name"))
        deleted = await archive.deletions.thread("t", "")
        assert (deleted.calls, deleted.memories) == (3, 1)
        assert await ids(archive) == {"other", "of-team"}
        assert len((await archive.transcript("other")).entries) == 1
        continued = await archive.open_call(config("next", thread_id="t"))
        assert continued.conversation_seed is not None
        assert continued.conversation_seed.entries == ()


@pytest.mark.asyncio
async def test_a_recording_that_cannot_be_deleted_leaves_its_calls_for_another_attempt(
    url: URL,
) -> None:
    await fill(url, over("first", person_id="ann"), over("second", person_id="ann"))
    files = Files("first", "second")
    files.stuck = {"second"}
    async with opened(url, on_deleted=files.delete) as archive:
        await archive.memories.answer("ann", SaveMemory(text="of ann"))
        with pytest.raises(NotDeletedError):
            await archive.deletions.person("ann", "")
        page = await archive.calls(limit=9, wanted=CallFilter(person_id="ann"))
        assert len(page.calls) == 2
        files.stuck = set()
        deleted = await archive.deletions.person("ann", "")
        assert (deleted.calls, deleted.memories, deleted.recordings) == (2, 1, 2)
