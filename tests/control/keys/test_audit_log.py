"""The audit log in memory, with a table that can be away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from control.keys import audit_log
from control.keys.audit_log import AuditLog
from control.keys.records import AuditEntry
from control.store.errors import StoreUnavailableError


class Table:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.is_away = True

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        if self.is_away:
            raise StoreUnavailableError("away")
        self.entries += entries


def entry(number: int) -> AuditEntry:
    return AuditEntry(at_ms=number, key="shop", team="", action="say", status=200)


@pytest.mark.asyncio
async def test_entries_wait_for_the_store_and_the_oldest_of_too_many_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_log, "MAX_WAITING", 3)
    table = Table()
    log = AuditLog(table, 90)  # type: ignore[arg-type]
    for number in range(5):
        log.add(entry(number))
    with pytest.raises(StoreUnavailableError):
        await log.flush()
    await log.close()
    assert (log.waiting, log.lost) == (3, 2)
    table.is_away = False
    await log.close()
    assert [one.at_ms for one in table.entries] == [2, 3, 4]
    assert (log.waiting, log.lost) == (0, 2)


@pytest.mark.asyncio
async def test_what_comes_while_entries_are_written_is_written_once() -> None:
    table = Table()
    table.is_away = False
    log = AuditLog(table, 90)  # type: ignore[arg-type]
    log.add(entry(1))
    add = table.add

    async def add_and_get_more(entries: Sequence[AuditEntry]) -> None:
        if not table.entries:
            log.add(entry(2))
        await add(entries)

    table.add = add_and_get_more  # type: ignore[method-assign]
    await log.flush()
    assert [one.at_ms for one in table.entries] == [1, 2]
