"""`KeyTable`: named API keys in the archive's database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from control.keys.access import KeyLimits, Scope
from control.keys.records import KeyInfo, StoredKey
from control.store.errors import ArchiveError
from control.store.memories import Ask
from control.store.schema import API_KEYS
from control.store.store import Store


class KeyExistsError(ArchiveError):
    """A key has this name, or had it and is kept as revoked."""

    status = 409
    code = "key_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is or was a key {name}: choose another name, or rotate it")


class KeyTable:
    """Reads and writes keys; every method raises `StoreUnavailableError` if it cannot."""

    def __init__(self, store: Store, ask: Ask) -> None:
        self._store = store
        self._ask = ask

    async def all(self) -> list[StoredKey]:
        """Return all keys, revoked ones included, by name."""

        async def work(connection: AsyncConnection) -> list[StoredKey]:
            rows = await connection.execute(select(API_KEYS).order_by(API_KEYS.c.name))
            return [_key({**row}) for row in rows.mappings()]

        found: list[StoredKey] = await self._ask(lambda: self._store.work(work))
        return found

    async def add(self, key: StoredKey) -> None:
        """Insert a key.

        Raises:
            KeyExistsError: its name is taken.
        """

        async def work(connection: AsyncConnection) -> None:
            try:
                await connection.execute(API_KEYS.insert(), _row(key))
            except IntegrityError:
                raise KeyExistsError(key.info.name) from None

        await self._ask(lambda: self._store.work(work))

    async def change(self, key: StoredKey) -> None:
        """Write all of a key but the time of its last use."""
        row = _row(key)
        del row["last_used_at_ms"]

        async def work(connection: AsyncConnection) -> None:
            changed = update(API_KEYS).where(API_KEYS.c.name == key.info.name).values(row)
            await connection.execute(changed)

        await self._ask(lambda: self._store.work(work))

    async def note_uses(self, used_at_ms: Mapping[str, int]) -> None:
        """Write when these keys were last used, unless a later use is known."""

        async def work(connection: AsyncConnection) -> None:
            last = API_KEYS.c.last_used_at_ms
            for name, at_ms in used_at_ms.items():
                is_later = (API_KEYS.c.name == name) & (func.coalesce(last, 0) < at_ms)
                await connection.execute(
                    update(API_KEYS).where(is_later).values(last_used_at_ms=at_ms)
                )

        await self._ask(lambda: self._store.work(work))

    async def forget_revoked_before(self, at_ms: int) -> None:
        """Delete keys that were revoked before then; their names are free again."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(API_KEYS).where(API_KEYS.c.revoked_at_ms < at_ms))

        await self._ask(lambda: self._store.work(work))


def _row(key: StoredKey) -> dict[str, Any]:
    info = key.info
    return {
        **info.model_dump(exclude={"scopes", "limits"}),
        "key_id": key.key_id,
        "digest": key.digest,
        "old_digest": key.old_digest,
        "scopes": ",".join(info.scopes),
        "limits": info.limits.model_dump_json(exclude_none=True),
    }


def _key(row: dict[str, Any]) -> StoredKey:
    values = {name: row[name] for name in KeyInfo.model_fields if name not in ("scopes", "limits")}
    info = KeyInfo(
        **values,
        scopes=tuple(Scope(one) for one in row["scopes"].split(",") if one),
        limits=KeyLimits.model_validate_json(row["limits"]),
    )
    return StoredKey(info, row["key_id"], row["digest"], row["old_digest"])
