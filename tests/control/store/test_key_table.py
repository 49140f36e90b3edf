"""Keys and the audit log in both databases."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import URL

from control.keys.access import KeyLimits, Scope
from control.keys.audit_log import AuditLog
from control.keys.named_keys import NamedKeys
from control.keys.records import AuditEntry
from control.keys.usage import KeyUsage
from control.store.audit_table import AuditFilter
from control.store.errors import UnknownCallError
from control.store.key_table import KeyExistsError
from conversation.memory import RecallMemory, SaveMemory
from tests.control.store.samples import config, text
from tests.control.store.test_archive import begin, end, opened
from utils import wall_clock_ms


@pytest.mark.asyncio
async def test_keys_outlive_the_server_and_are_shared(url: URL) -> None:
    limits = KeyLimits(agents=3, cost_per_day=1.5)
    async with opened(url) as one, opened(url, server_id="another") as other:
        ours, theirs = NamedKeys(one.keys), NamedKeys(other.keys)
        await ours.read()
        await theirs.read()
        info, secret = await ours.add("shop", "sales", (Scope.START, Scope.STEER), limits)
        with pytest.raises(KeyExistsError):
            await ours.add("shop", "", (Scope.ADMIN,))
        with pytest.raises(KeyExistsError):
            await theirs.add("shop", "", (Scope.ADMIN,))
        assert theirs.find(secret) is None
        await theirs.read()
        found = theirs.find(secret)
        assert found == info
        assert found is not None
        assert found.access.limits == limits
        await theirs.close()
        _, newer = await ours.rotate("shop", 3600)
        await theirs.read()
        assert [theirs.find(one) is not None for one in (secret, newer)] == [True, True]
        await ours.revoke("shop")
        await theirs.read()
        assert theirs.find(newer) is None
    async with opened(url) as archive:
        keys = NamedKeys(archive.keys)
        await keys.read()
        (kept,) = keys.list()
        assert kept.revoked_at_ms is not None
        # The rotation did not undo what the other server wrote.
        assert kept.last_used_at_ms is not None
        stored = await archive.keys.all()
        assert secret.rpartition("_")[2] not in repr(stored)
        await archive.keys.forget_revoked_before(wall_clock_ms() + 1)
        assert await archive.keys.all() == []


def entry(number: int, **more: str) -> AuditEntry:
    values = {"key": "shop", "team": "sales", "action": "say", "channel_name": f"c{number}"}
    return AuditEntry(at_ms=number, status=200, **(values | more))  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_entries_are_paged_filtered_and_bounded(url: URL) -> None:
    async with opened(url) as archive:
        log = AuditLog(archive.audit, 0)
        for number in range(1, 8):
            log.add(entry(number, team="sales" if number % 2 else "help"))
        log.add(entry(8, call_id="agent-1", action="delete_call"))
        page = await log.page(AuditFilter(), limit=3, after=None)
        assert [one.channel_name for one in page.entries] == ["c8", "c7", "c6"]
        page = await log.page(AuditFilter(), limit=10, after=page.next)
        assert ([one.at_ms for one in page.entries], page.next) == ([5, 4, 3, 2, 1], None)
        for wanted, found in (
            (AuditFilter(team="help"), [6, 4, 2]),
            (AuditFilter(call_id="agent-1"), [8]),
            (AuditFilter(action="say", since_ms=3, until_ms=5), [4, 3]),
            (AuditFilter(channel_name="c1"), [1]),
            (AuditFilter(key="another"), []),
        ):
            page = await log.page(wanted, limit=10, after=None)
            assert [one.at_ms for one in page.entries] == found
        await archive.audit.forget(before_ms=3, most=4)
        page = await log.page(AuditFilter(), limit=10, after=None)
        assert [one.at_ms for one in page.entries] == [8, 7, 6, 5]


@pytest.mark.asyncio
async def test_each_team_has_its_own_conversations_and_memories(url: URL) -> None:
    async with opened(url) as archive:
        for team in ("", "red"):
            opened_config = await archive.open_call(
                config(f"call-{team}", thread_id="t", team=team, key="k")
            )
            assert opened_config.conversation_seed is not None
            assert opened_config.conversation_seed.entries == ()
            archive.recorder.handle_start(opened_config, restarts=0)
        for team in ("", "red"):
            end(archive, f"call-{team}")
        assert (await begin(archive, "next", "t", text(0, "hello"))).entries == ()
        with pytest.raises(UnknownCallError):
            await archive.details("call-red", team="blue")
        assert (await archive.details("call-red", team="red")).key == "k"
        await archive.memories.answer("red/m", SaveMemory(text="of red"))
        assert (await archive.memories.answer("m", RecallMemory())).texts == ()
        assert len((await archive.memories.answer("red/m", RecallMemory())).texts) == 1


@pytest.mark.asyncio
async def test_the_use_of_the_day_is_read_after_a_restart(url: URL) -> None:
    async with opened(url) as archive:
        opened_config = await archive.open_call(config("call-1", key="shop"))
        archive.recorder.handle_start(opened_config, restarts=0)
        end(archive, "call-1")
        await archive.settle()
    async with opened(url) as archive:
        usage = KeyUsage(wall_ms=lambda: wall_clock_ms() + 60_000)
        await usage.read(archive)
        assert usage.by_key(lambda use: use.started) == {"shop": 0}
