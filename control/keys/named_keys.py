"""`NamedKeys`: the named keys of a server in memory, as the store has them.

Requests are checked against memory alone, so that keys go on working while the store is away: for
`MEMORY_S` since it was last read. Then they are refused, for one of them may be revoked elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from control.keys.access import NO_LIMITS, KeyLimits, Scope
from control.keys.records import KeyInfo, StoredKey
from control.keys.secrets import digest_of, is_same, key_id_of, new_key_id, new_secret
from control.store.errors import ArchiveError
from control.store.key_table import KeyExistsError, KeyTable
from utils import OwnedTasks, wall_clock_ms

READ_S: Final = 10.0
"""Interval of reading keys that other servers of the database changed, and of writing uses."""

MEMORY_S: Final = 24 * 3600.0
"""Longest time that keys work without the store."""

MAX_KEYS: Final = 1_000
"""Keys that are not revoked."""

REVOKED_KEPT_MS: Final = 90 * 24 * 3_600_000
"""Revoked keys are listed, and their names taken, for this long."""

FIRST_READ_S: Final = 2.0
"""Longest time that a server which starts waits for its keys."""

_RETRY_S: Final = 0.5

_log = logging.getLogger("control.keys")


class KeysUnavailableError(ArchiveError):
    """The store has not been read yet, or for too long: no named key can be checked."""

    status = 503
    code = "keys_unavailable"

    def __init__(self) -> None:
        super().__init__("the store of the keys cannot be read: keys of API_KEYS go on working")


class UnknownKeyError(ArchiveError):
    """There is no such key, or it is revoked."""

    status = 404
    code = "unknown_key"

    def __init__(self) -> None:
        super().__init__("there is no such key")


class TooManyKeysError(ArchiveError):
    """The server has `MAX_KEYS`."""

    status = 409
    code = "too_many_keys"

    def __init__(self) -> None:
        super().__init__(f"there are {MAX_KEYS} keys: revoke one first")


class NamedKeys:
    """All named keys. Changes are on disk before they count."""

    def __init__(
        self,
        table: KeyTable,
        *,
        wall_ms: Callable[[], int] = wall_clock_ms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._wall_ms = wall_ms
        self._clock = clock
        self._by_id: dict[str, StoredKey] = {}
        self._read_s: float | None = None
        # Uses that are not written yet, by name, and all that are known.
        self._unwritten: dict[str, int] = {}
        self._used: dict[str, int] = {}
        # A reading that began before a change must not undo it.
        self._lock = asyncio.Lock()
        self._was_read = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    async def start(self) -> None:
        """Read the keys, now and then; return when they are known, or the store is slow or down."""
        self._tasks.start(self._follow(), name="API keys")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READ_S):
                await self._was_read.wait()

    async def close(self) -> None:
        """Write the last uses, if the store takes them. Idempotent."""
        await self._tasks.close()
        if self._unwritten and self._read_s is not None:
            try:
                await self._write_uses()
            except ArchiveError as error:
                _log.info("the last uses of keys were not written: %s", error)

    async def _follow(self) -> None:
        while True:
            try:
                await self.read()
            except ArchiveError as error:
                _log.debug("keys were not read: %s", error)
            await asyncio.sleep(_RETRY_S if self._read_s is None else READ_S)

    async def read(self) -> None:
        """Read all keys and write when they were used.

        Raises:
            ArchiveError: the store cannot be read; what is known stays.
        """
        async with self._lock:
            if self._unwritten:
                await self._write_uses()
            if self._read_s is None:
                await self._table.forget_revoked_before(self._wall_ms() - REVOKED_KEPT_MS)
            keys = await self._table.all()
            self._by_id = {key.key_id: key for key in keys}
            self._read_s = self._clock()
            self._was_read.set()

    async def _write_uses(self) -> None:
        used = dict(self._unwritten)
        await self._table.note_uses(used)
        for name, at_ms in used.items():
            if self._unwritten.get(name) == at_ms:
                del self._unwritten[name]

    # -- requests ----------------------------------------------------------------------------------

    def find(self, secret: str) -> KeyInfo | None:
        """Return the key that has this secret, and note its use; None: no key has it.

        Raises:
            KeysUnavailableError: the keys are not known.
        """
        self.require_known()
        key = self._by_id.get(key_id_of(secret) or "")
        now_ms = self._wall_ms()
        if key is None or not _opens(key, digest_of(secret), now_ms):
            return None
        self._used[key.info.name] = self._unwritten[key.info.name] = now_ms
        return key.info

    def require_known(self) -> None:
        """Require that the keys are known.

        Raises:
            KeysUnavailableError: they are not.
        """
        if self._read_s is None or self._clock() - self._read_s > MEMORY_S:
            raise KeysUnavailableError

    def named(self, name: str) -> KeyInfo | None:
        """Return the key of this name that is not revoked; None: there is none."""
        return next(
            (one for one in self.list() if one.name == name and not one.revoked_at_ms), None
        )

    def is_revoked(self, name: str) -> bool:
        """Return true if the key of this name is known to be revoked."""
        infos = (key.info for key in self._by_id.values())
        return any(one.name == name and one.revoked_at_ms for one in infos)

    def list(self) -> list[KeyInfo]:
        """Return all keys, by name, revoked ones included."""
        infos = (key.info for key in self._by_id.values())
        return sorted((self._with_use(one) for one in infos), key=lambda one: one.name)

    def _with_use(self, info: KeyInfo) -> KeyInfo:
        used = max(self._used.get(info.name, 0), info.last_used_at_ms or 0)
        return info.model_copy(update={"last_used_at_ms": used or None})

    # -- management --------------------------------------------------------------------------------

    async def add(
        self, name: str, team: str, scopes: tuple[Scope, ...], limits: KeyLimits = NO_LIMITS
    ) -> tuple[KeyInfo, str]:
        """Create a key; return it and its secret, which nobody can look up later.

        Raises:
            KeyExistsError, TooManyKeysError, StoreUnavailableError
        """
        async with self._lock:
            infos = [key.info for key in self._by_id.values()]
            if any(one.name == name for one in infos):
                raise KeyExistsError(name)
            if sum(not one.revoked_at_ms for one in infos) >= MAX_KEYS:
                raise TooManyKeysError
            key_id = new_key_id()
            secret = new_secret(key_id)
            info = KeyInfo(
                name=name, team=team, scopes=scopes, limits=limits, created_at_ms=self._wall_ms()
            )
            key = StoredKey(info, key_id, digest_of(secret))
            await self._table.add(key)
            self._by_id[key_id] = key
        return info, secret

    async def change(
        self, name: str, scopes: tuple[Scope, ...] | None, limits: Mapping[str, float | None]
    ) -> KeyInfo:
        """Change scopes and limits of a key, from its next request on; its team stays.

        scopes: None: as they are; limits: those to change, None: no limit

        Raises:
            UnknownKeyError, StoreUnavailableError
        """
        async with self._lock:
            key = self._known(name)
            changed = key.changed(
                scopes=key.info.scopes if scopes is None else scopes,
                limits=key.info.limits.model_copy(update=dict(limits)),
            )
            await self._change(changed)
        return self._with_use(changed.info)

    async def rotate(self, name: str, overlap_s: float) -> tuple[KeyInfo, str]:
        """Give a key a new secret; the one before works for `overlap_s` more.

        Raises:
            UnknownKeyError, StoreUnavailableError
        """
        async with self._lock:
            key = self._known(name)
            secret = new_secret(key.key_id)
            now_ms = self._wall_ms()
            until_ms = now_ms + round(overlap_s * 1000)
            changed = key.changed(rotated_at_ms=now_ms, old_works_until_ms=until_ms)
            changed = StoredKey(changed.info, key.key_id, digest_of(secret), key.digest)
            await self._change(changed)
        return self._with_use(changed.info), secret

    async def revoke(self, name: str) -> KeyInfo:
        """Refuse a key from now on. Calls that it started go on.

        Raises:
            UnknownKeyError, StoreUnavailableError
        """
        async with self._lock:
            changed = self._known(name).changed(revoked_at_ms=self._wall_ms())
            await self._change(changed)
        return self._with_use(changed.info)

    def _known(self, name: str) -> StoredKey:
        for key in self._by_id.values():
            if key.info.name == name and not key.info.revoked_at_ms:
                return key
        raise UnknownKeyError

    async def _change(self, key: StoredKey) -> None:
        await self._table.change(key)
        self._by_id[key.key_id] = key


def _opens(key: StoredKey, digest: str, now_ms: int) -> bool:
    """Return true if a secret with this hash is the key's now."""
    is_new = is_same(digest, key.digest)
    is_old = is_same(digest, key.old_digest) and now_ms < (key.info.old_works_until_ms or 0)
    return (is_new or is_old) and not key.info.revoked_at_ms
