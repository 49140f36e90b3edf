"""Conversations that are continued, calls that are listed and deleted, by hand or by age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.engine import URL

from control.ipc.link import Remember, RememberCall
from control.store.archive import Archive
from control.store.call_filter import CallFilter
from control.store.data_folder import DataFolder
from control.store.errors import (
    CallIsLiveError,
    NotDeletedError,
    StoreUnavailableError,
    ThreadBusyError,
    UnknownCallError,
)
from control.store.retention import Retention
from control.store.store import Store
from conversation.lifecycle import AgentState
from conversation.snapshot import LOST_OUTPUT, SnapshotEntry, SnapshotToolCall
from tests.control.black_box.test_box import status
from tests.control.store.samples import config, put_call, put_entry, text
from tests.control.store.test_live_call import exit_record
from utils import wall_clock_ms

DAY_MS = 24 * 3600 * 1000


class Deleted:
    """Records the calls whose data it was asked to drop."""

    def __init__(self) -> None:
        self.call_ids: list[str] = []

    async def __call__(self, call_ids: Sequence[str]) -> int:
        self.call_ids += call_ids
        return len(call_ids)


@asynccontextmanager
async def opened(url: URL, *, server_id: str = "this", **more: Any) -> AsyncIterator[Archive]:
    archive = Archive(url, server_id, **more)
    archive.start(list)
    try:
        yield archive
    finally:
        await archive.close()


async def begin(archive: Archive, call_id: str, thread_id: str, *said: SnapshotEntry) -> Any:
    """A call of this conversation in which this is said; returns what its agent began with."""
    opened_config = await archive.open_call(config(call_id, thread_id=thread_id))
    archive.recorder.handle_start(opened_config, restarts=0)
    for entry in said:
        archive.recorder.handle_message(opened_config, Remember(entry=entry))
    return opened_config.conversation_seed


def end(archive: Archive, call_id: str) -> None:
    archive.recorder.handle_exit(exit_record(agent_id=call_id, ended_at_ms=wall_clock_ms()))


@pytest.mark.asyncio
async def test_a_conversation_goes_on_where_it_was_left(url: URL) -> None:
    tool = SnapshotToolCall(number=1, call_id="c", name="look_up", arguments="{}")
    half = text(2, "I will", role="assistant", is_open=True)
    async with opened(url) as archive:
        seed = await begin(archive, "first", "t", text(0, "hello"), tool, half, text(3, "wait"))
        assert (seed.entries, seed.offset) == ((), 0)
        end(archive, "first")
        assert (await archive.transcript("first")).entries[2].is_cut  # type: ignore[union-attr]
    async with opened(url) as archive:
        seed = await begin(archive, "second", "t", text(4, "again"))
        assert seed.entries == (
            text(0, "hello"),
            tool.model_copy(update={"output": LOST_OUTPUT}),
            text(2, "I will", role="assistant", is_cut=True),
            text(3, "wait"),
        )
        assert (seed.is_reply_owed, seed.is_of_earlier_call) == (False, True)
        live = await archive.transcript("second")
        assert [entry.number for entry in live.entries] == [4]
        assert live.is_live


@pytest.mark.asyncio
async def test_the_state_of_a_conversation_goes_on_and_shows_with_its_call(url: URL) -> None:
    async with opened(url) as archive:
        await begin(archive, "first", "t")
        kept = RememberCall(state='{"order": 17}', agent="orders")
        archive.recorder.handle_message(config("first", thread_id="t"), kept)
        end(archive, "first")
        assert (await archive.details("first")).call_state == {"order": 17}
        seed = await begin(archive, "second", "t")
        # The later call begins with it, and with the agent that its start names.
        assert (seed.call_state, seed.agent) == ('{"order": 17}', "")
        assert (await archive.details("first")).call_state == {"order": 17}
        changed = RememberCall(state='{"order": 18}', agent="orders")
        archive.recorder.handle_message(config("second", thread_id="t"), changed)
        assert (await archive.details("second")).call_state == {"order": 18}
        assert (await archive.details("first")).call_state == {}


@pytest.mark.asyncio
async def test_a_conversation_has_one_live_call_at_a_time(url: URL) -> None:
    async with opened(url) as archive:
        answers = await asyncio.gather(
            *(archive.open_call(config(f"agent-{n}", thread_id="t")) for n in range(20)),
            return_exceptions=True,
        )
        (winner,) = [one for one in answers if not isinstance(one, BaseException)]
        assert {type(one) for one in answers if one is not winner} == {ThreadBusyError}
        archive.give_up_call(winner)
        await begin(archive, "next", "t")
        with pytest.raises(ThreadBusyError):
            await archive.open_call(config("late", thread_id="t"))
        end(archive, "next")
        await archive.open_call(config("late", thread_id="t"))
        # Without a name, a conversation has that of its call.
        unnamed = await archive.open_call(config("unnamed"))
        assert (unnamed.thread_id, unnamed.conversation_seed) == ("unnamed", None)
        with pytest.raises(ThreadBusyError):
            await archive.open_call(config("another", thread_id="unnamed"))


@pytest.mark.asyncio
async def test_a_conversation_may_be_another_servers(url: URL) -> None:
    async with opened(url) as archive, opened(url, server_id="other") as other:
        await begin(other, "theirs", "t", text(0, "hello"))
        await other.settle(20)
        with pytest.raises(ThreadBusyError):
            await archive.open_call(config("ours", thread_id="t"))
        end(other, "theirs")
        await other.settle(20)
        seed = await begin(archive, "ours", "t")
        assert seed.entries == (text(0, "hello"),)


@pytest.mark.asyncio
async def test_of_servers_that_start_with_it_at_the_same_time_one_has_it(url: URL) -> None:
    async with AsyncExitStack() as stack:
        archives = [
            await stack.enter_async_context(opened(url, server_id=f"server-{n}")) for n in range(4)
        ]
        for thread_id in ("t", "u", "v"):
            answers = await asyncio.gather(
                *(
                    one.open_call(config(f"{thread_id}-{n}", thread_id=thread_id))
                    for n, one in enumerate(archives)
                ),
                return_exceptions=True,
            )
            ((number, winner),) = [
                (n, one) for n, one in enumerate(answers) if not isinstance(one, BaseException)
            ]
            assert {type(one) for one in answers if one is not winner} == {ThreadBusyError}
            # Its start is refused for another reason: it is anybody's, and there was no call.
            archives[number].give_up_call(winner)
            assert await archives[number].settle(20)
            assert (
                await archives[number].calls(limit=9, wanted=CallFilter(thread_id=thread_id))
            ).calls == []
            await begin(archives[number - 1], f"{thread_id}-next", thread_id)


@pytest.mark.asyncio
async def test_a_call_that_is_over_can_be_deleted_and_a_live_one_not(url: URL) -> None:
    deleted = Deleted()
    async with opened(url, on_deleted=deleted) as archive:
        await begin(archive, "first", "t", text(0, "hello"))
        with pytest.raises(CallIsLiveError):
            await archive.delete("first")
        end(archive, "first")
        await begin(archive, "second", "t", text(1, "again"))
        await archive.delete("first")
        assert deleted.call_ids == ["first"]
        for ask in (archive.details, archive.transcript, archive.delete):
            with pytest.raises(UnknownCallError):
                await ask("first")
        with pytest.raises(UnknownCallError):
            await archive.channel_transcript("nowhere")
        assert (await archive.channel_transcript("demo")).call_id == "second"
        end(archive, "second")
        # What is left of the conversation keeps its places.
        seed = await begin(archive, "third", "t")
        assert (seed.entries, seed.offset) == ((text(0, "again"),), 1)


@pytest.mark.asyncio
async def test_a_live_call_is_shown_as_it_is_now(url: URL) -> None:
    async with opened(url) as archive:
        await begin(archive, "first", "t")
        for state in (AgentState.STARTING, AgentState.READY):
            archive.recorder.handle_state(config("first"), state, at_ms=wall_clock_ms())
        archive.recorder.sample([status(agent_id="first", private_bytes=7), status()])
        details = await archive.details("first")
        assert (details.state, details.ended_at_ms) == (AgentState.READY, None)
        assert [step.state for step in details.black_box.states] == [
            AgentState.STARTING,
            AgentState.READY,
        ]
        assert [sample.private_bytes for sample in details.black_box.curve] == [7]
        assert [one.call_id for one in (await archive.calls(limit=9)).calls] == ["first"]


@pytest.mark.asyncio
async def test_old_calls_and_too_many_go_and_live_ones_stay(url: URL) -> None:
    now_ms = wall_clock_ms()
    ages = {"live": (99, None), "old": (9, 1), "a": (3, 1), "b": (2, 1), "c": (1, 1)}
    store = Store(url, "other")
    await store.open()
    await store.write(
        put_call(
            name,
            started_at_ms=now_ms - days * DAY_MS,
            updated_at_ms=now_ms,
            ended_at_ms=ended,
        )
        for name, (days, ended) in ages.items()
    )
    await store.write([put_entry(0, text(0), name) for name in ages])
    await store.close()
    deleted = Deleted()
    async with opened(url, retention=Retention(days=7, calls=3), on_deleted=deleted) as archive:
        # It looks as soon as it is open.
        async with asyncio.timeout(20):
            while len(deleted.call_ids) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert deleted.call_ids == ["old", "a"]
        await archive.sweep()
        left = {one.call_id for one in (await archive.calls(limit=9)).calls}
        assert left == {"live", "b", "c"}
        assert deleted.call_ids == ["old", "a"]


@pytest.mark.asyncio
async def test_a_store_that_cannot_be_read_is_said(url: URL) -> None:
    archive = Archive(url, "this")
    with pytest.raises(StoreUnavailableError):
        await archive.calls(limit=1)
    with pytest.raises(StoreUnavailableError):
        await archive.open_call(config("first", thread_id="t"))
    # Its conversation is not taken by a call that never was.
    with pytest.raises(StoreUnavailableError):
        await archive.open_call(config("second", thread_id="t"))
    assert (await archive.open_call(config("third"))).thread_id == "third"
    await archive.close()


@pytest.mark.asyncio
async def test_closing_lets_go_of_the_folder(tmp_path: Any, url: URL) -> None:
    folder = DataFolder(tmp_path)
    async with opened(url, folder=folder):
        pass
    assert DataFolder(tmp_path).server_id == folder.server_id


@pytest.mark.asyncio
@pytest.mark.parametrize("off_days", [40, -40])
async def test_nothing_is_deleted_by_a_clock_that_jumped(
    tmp_path: Any, url: URL, off_days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = wall_clock_ms()
    stamps = {"started_at_ms": now_ms, "updated_at_ms": now_ms}
    over = {**stamps, "ended_at_ms": now_ms}
    other = Store(url, "other")
    await other.open()
    # More than may be kept, one of another server that lives, and one that is old by any clock.
    old = {**over, "started_at_ms": now_ms - 9 * DAY_MS}
    calls = {"a": over, "b": over, "c": over, "live": stamps, "old": old}
    await other.write(put_call(name, **more) for name, more in calls.items())
    await other.close()

    def set_clock(days: float) -> None:
        stamp_ms = int(now_ms + days * DAY_MS)
        monkeypatch.setattr("control.store.cleanup.wall_clock_ms", lambda: stamp_ms)

    async def left(archive: Archive) -> dict[str, int | None]:
        page = await archive.calls(limit=9)
        return {one.call_id: one.ended_at_ms for one in page.calls}

    everything = {name: more.get("ended_at_ms") for name, more in calls.items()}
    retention = Retention(days=7, calls=2)
    deleted = Deleted()
    # Twice: what a server writes by a wrong clock must not prove it to the next one.
    for number in range(2):
        set_clock(off_days)
        folder = DataFolder(tmp_path)
        async with opened(url, retention=retention, folder=folder, on_deleted=deleted) as archive:
            await archive.sweep()
            assert await left(archive) == everything
            (warning,) = archive.warnings()
            assert "no calls are deleted" in warning
            assert "40 days" in warning
            if number == 1:
                set_clock(0)
                await archive.sweep()
                assert archive.warnings() == []
                kept = await left(archive)
                assert set(deleted.call_ids) == everything.keys() - kept.keys()
                assert (len(kept), "live" in kept, "old" in kept) == (2, True, False)


@pytest.mark.asyncio
async def test_a_sweep_deletes_a_share_of_all_calls_at_most(url: URL) -> None:
    now_ms = wall_clock_ms()
    store = Store(url, "this")
    await store.open()
    stamps = {"started_at_ms": 1, "updated_at_ms": now_ms, "ended_at_ms": 1}
    await store.write(put_call(f"agent-{n}", **stamps) for n in range(250))
    forgotten: list[str] = []

    async def forget(call_ids: list[str]) -> None:
        if kept := {"agent-7", "agent-8"} & set(call_ids):
            raise NotDeletedError(kept)
        forgotten.extend(call_ids)
        await store.delete(call_ids)

    retention = Retention(days=1)
    assert await retention.sweep(store, forget, now_ms=now_ms) == 100
    assert await store.count() == 150
    # What cannot be deleted is passed over, and does not hold up the rest.
    assert await retention.sweep(store, forget, now_ms=now_ms) == 100
    assert await retention.sweep(store, forget, now_ms=now_ms) == 48
    assert await store.ended_before(now_ms, 9) == ["agent-7", "agent-8"]
    assert len(set(forgotten)) == 248
    await store.close()


class Remembering:
    """A part of the server that keeps data of calls."""

    def __init__(self, *call_ids: str) -> None:
        self.call_ids = set(call_ids)

    def forget_calls(self, call_ids: Collection[str]) -> None:
        self.call_ids -= set(call_ids)


@pytest.mark.asyncio
async def test_what_another_server_deletes_is_forgotten_here_too(url: URL) -> None:
    async with opened(url) as archive, opened(url, server_id="other") as other:
        # Beside heavy load one may wait for the other's migrations longer than SQLite does.
        async with asyncio.timeout(20):
            while {archive.state, other.state} != {"ready"}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        memory = Remembering("first", "second")
        archive.share_deletions([memory], lambda *_: None, lambda: memory.call_ids)
        for call_id in ("first", "second"):
            await begin(archive, call_id, "t", text(0, "hello"))
            end(archive, call_id)
        assert await archive.settle(20)
        await archive.follow_deletions()
        assert memory.call_ids == {"first", "second"}
        await other.delete("first")
        await archive.follow_deletions()
        assert memory.call_ids == {"second"}
        await archive.delete("second")
        assert memory.call_ids == set()
