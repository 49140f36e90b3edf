"""Named keys in memory, with a table that can be away."""

from __future__ import annotations

import pytest

from control.http.auth import ApiKeys
from control.http.errors import ApiError
from control.keys.access import Scope
from control.keys.named_keys import MEMORY_S, KeysUnavailableError, NamedKeys
from control.keys.records import StoredKey
from control.keys.secrets import digest_of, key_id_of, new_key_id, new_secret
from control.store.errors import StoreUnavailableError


class Table:
    """Keys in a dict; `is_away` refuses everything."""

    def __init__(self) -> None:
        self.keys: dict[str, StoredKey] = {}
        self.uses: dict[str, int] = {}
        self.is_away = False

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailableError("away")

    async def all(self) -> list[StoredKey]:
        self._require()
        return list(self.keys.values())

    async def add(self, key: StoredKey) -> None:
        self._require()
        self.keys[key.info.name] = key

    async def change(self, key: StoredKey) -> None:
        await self.add(key)

    async def note_uses(self, used_at_ms: dict[str, int]) -> None:
        self._require()
        self.uses |= used_at_ms

    async def forget_revoked_before(self, _at_ms: int) -> None:
        self._require()


class Clock:
    now_s = 1_000.0

    def wall_ms(self) -> int:
        return round(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


def made() -> tuple[NamedKeys, Table, Clock]:
    table, clock = Table(), Clock()
    keys = NamedKeys(table, wall_ms=clock.wall_ms, clock=clock.monotonic_s)  # type: ignore[arg-type]
    return keys, table, clock


@pytest.mark.asyncio
async def test_a_rotated_key_has_two_secrets_for_a_while() -> None:
    keys, table, clock = made()
    await keys.read()
    _, first = await keys.add("shop", "sales", (Scope.START,))
    _, second = await keys.rotate("shop", 60)
    clock.now_s += 59.9
    for secret in (first, second):
        found = keys.find(secret)
        assert found is not None
        assert (found.name, found.team) == ("shop", "sales")
    clock.now_s += 0.1
    assert keys.find(first) is None
    assert keys.find(second) is not None
    assert first not in repr(table.keys)
    assert table.keys["shop"].digest == digest_of(second)
    await keys.revoke("shop")
    assert keys.find(second) is None
    assert keys.named("shop") is None


@pytest.mark.asyncio
async def test_known_keys_work_without_the_store_for_a_day() -> None:
    keys, table, clock = made()
    settings = ApiKeys(["an-owners-key"], keys)
    owner = {"Authorization": "Bearer an-owners-key"}
    unknown = {"Authorization": f"Bearer {new_secret(new_key_id())}"}
    # Before the first reading nothing can be said of a named key; others work.
    assert settings.require(owner).is_of_all_teams
    with pytest.raises(ApiError) as caught:
        settings.require(unknown)
    assert (caught.value.status, caught.value.code) == (503, "keys_unavailable")
    await keys.read()
    with pytest.raises(ApiError) as caught:
        settings.require(unknown)
    assert caught.value.status == 401
    _, secret = await keys.add("shop", "", (Scope.START,))
    table.is_away = True
    with pytest.raises(StoreUnavailableError):
        await keys.add("other", "", (Scope.START,))
    with pytest.raises(StoreUnavailableError):
        await keys.revoke("shop")
    clock.now_s += MEMORY_S
    with pytest.raises(StoreUnavailableError):
        await keys.read()
    assert settings.require({"Authorization": f"Bearer {secret}"}).key == "shop"
    clock.now_s += 0.1
    with pytest.raises(KeysUnavailableError):
        keys.find(secret)
    assert settings.require(owner).key == "key 0"
    table.is_away = False
    await keys.read()
    assert keys.find(secret) is not None


@pytest.mark.asyncio
async def test_the_last_use_is_written_once_the_store_takes_it() -> None:
    keys, table, clock = made()
    await keys.read()
    _, secret = await keys.add("shop", "", (Scope.START,))
    assert keys.list()[0].last_used_at_ms is None
    clock.now_s += 5
    keys.find(secret)
    keys.find(secret + "x")
    table.is_away = True
    await keys.close()
    assert table.uses == {}
    table.is_away = False
    await keys.close()
    assert table.uses == {"shop": clock.wall_ms()}
    assert keys.list()[0].last_used_at_ms == clock.wall_ms()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pk_",
        "pk_0123",
        "pk_0123456789ab_short",
        "xk_0123456789ab_" + "a" * 43,
        "pk_é_" + "a" * 43,
    ],
)
def test_what_is_no_secret_finds_no_key(text: str) -> None:
    assert key_id_of(text) is None


def test_secrets_are_of_256_bits_and_never_the_same() -> None:
    made = {new_secret("0123456789ab") for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {3 + 12 + 1 + 43}
