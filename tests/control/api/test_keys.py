"""Keys over HTTP: management, limits, metrics, and tokens that were made with them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from control.keys.access import EVERYTHING, KeyLimits, Scope
from control.keys.usage import KeyUsage
from rtc.room_server.tokens import RoomTokens
from tests.control.api.test_bridge import connect, create, status
from tests.control.api.test_teams import CHANNEL, OWNER, SETTINGS, ask, two_teams
from tests.control.served_api import SECRET, Api, serve_api
from tests.control.test_openapi import check_answer
from tests.deadlines import DEADLINE_S

HEARTBEAT = b": heartbeat\n\n"


@pytest.mark.asyncio
async def test_answers_are_as_documented(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, _):
        wanted = {"name": "shop", "team": "sales", "scopes": ["start", "start"]}
        for method, path, template, body, status in (
            ("POST", "/keys", "/keys", wanted, 201),
            ("POST", "/keys", "/keys", wanted, 409),
            ("POST", "/keys", "/keys", wanted | {"scopes": []}, 400),
            ("POST", "/keys", "/keys", wanted | {"name": "a/b"}, 400),
            ("POST", "/keys", "/keys", wanted | {"limits": {"agents": -1}}, 400),
            ("GET", "/keys", "/keys", None, 200),
            ("PATCH", "/keys/shop", "/keys/{name}", {"scopes": ["steer"]}, 200),
            ("PATCH", "/keys/shop", "/keys/{name}", {"scopes": []}, 400),
            ("PATCH", "/keys/shop", "/keys/{name}", {"team": "other"}, 400),
            ("PATCH", "/keys/shop", "/keys/{name}", {"limits": {"agents": -1}}, 400),
            ("PATCH", "/keys/shop", "/keys/{name}", {"limits": {}}, 400),
            ("PATCH", "/keys/none", "/keys/{name}", {"scopes": ["steer"]}, 404),
            ("POST", "/keys/shop/rotate", "/keys/{name}/rotate", None, 200),
            ("POST", "/keys/shop/rotate", "/keys/{name}/rotate", {"overlap_s": -1}, 400),
            ("POST", "/keys/none/rotate", "/keys/{name}/rotate", None, 404),
            ("DELETE", "/keys/shop", "/keys/{name}", None, 200),
            ("DELETE", "/keys/shop", "/keys/{name}", None, 404),
            ("DELETE", "/keys/A%20B", "/keys/{name}", None, 404),
            ("GET", "/audit", "/audit", None, 200),
            ("GET", "/audit?limit=0", "/audit", None, 400),
        ):
            answer = await ask(api, OWNER, method, path, body)
            assert answer.status == status, (path, await answer.text())
            await check_answer(answer, template)
            if status == 201:
                assert answer.headers["Cache-Control"] == "no-store"
                assert (await answer.json())["key"]["scopes"] == ["start"]


async def start(api: Api, key: str, channel: str, **more: Any) -> Any:
    return await ask(api, key, "POST", "/start_agent", {"channel_name": channel, **more})


@pytest.mark.asyncio
async def test_a_refusal_names_the_limit_and_when_to_come_again(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, _):
        limits = KeyLimits(agents=1, starts_per_minute=3, minutes_per_day=10)
        _, key = await api.keys.named.add("shop", "sales", (Scope.START,), limits)
        assert (await start(api, key, "one", max_duration_s=3600)).status == 200
        # What is left of the day is the limit of the call.
        assert api.placement.configs["one"].max_duration_s == 600
        refused = await start(api, key, "two")
        told = await refused.json()
        assert (refused.status, told["code"]) == (429, "key_limit")
        assert "agents" in told["error"]
        assert (told["details"][0]["cause"], refused.headers["Retry-After"]) == ("agents", "5")
        await check_answer(refused, "/start_agent")
        # A start that comes to nothing takes no place.
        await ask(api, key, "POST", "/stop_agent", {"channel_name": "one"})
        api.keys.usage.give_up(next(iter(api.keys.usage.of("shop").live)))
        assert (await start(api, key, "channel-of-red")).status == 400
        assert api.keys.usage.of("shop").live == {}
        shown = await (await ask(api, OWNER, "GET", "/keys")).json()
        (use,) = [one["use"] for one in shown["keys"] if one["name"] == "shop"]
        assert (use["agents"], use["refused"]) == (0, 1)


@pytest.mark.asyncio
async def test_what_a_key_may_changes_with_its_next_request(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, _):
        limits = KeyLimits(agents=1, minutes_per_day=10)
        _, key = await api.keys.named.add("shop", "sales", (Scope.START,), limits)
        assert (await start(api, key, "one")).status == 200
        assert (await start(api, key, "two")).status == 429
        changed = await ask(api, OWNER, "PATCH", "/keys/shop", {"limits": {"agents": None}})
        assert (await changed.json())["key"]["limits"] == {
            "agents": None,
            "starts_per_minute": None,
            "minutes_per_day": 10,
            "cost_per_day": None,
        }
        assert (await start(api, key, "two")).status == 200
        assert (await ask(api, key, "GET", "/calls")).status == 403
        wanted = {"scopes": ["read_calls", "read_calls"]}
        changed = await ask(api, OWNER, "PATCH", "/keys/shop", wanted)
        assert (await changed.json())["key"]["scopes"] == ["read_calls"]
        assert (await ask(api, key, "GET", "/calls")).status == 200
        assert (await start(api, key, "three")).status == 403
        # Another server of the database reads what this one wrote.
        await api.keys.named.read()
        found = api.keys.named.named("shop")
        assert found is not None
        assert (found.scopes, found.limits) == (
            (Scope.READ_CALLS,),
            KeyLimits(minutes_per_day=10),
        )
        audit = await (await ask(api, OWNER, "GET", "/audit?action=change_key")).json()
        assert [(one["subject"], one["status"]) for one in audit["entries"]] == [("shop", 200)] * 2


@pytest.mark.asyncio
@pytest.mark.parametrize("loss", ["revoked", "rotated", "scope"])
async def test_an_open_event_stream_ends_with_its_key(tmp_path: Path, loss: str) -> None:
    async with two_teams(tmp_path) as (api, keys):
        api.handlers.events._heartbeat_s = 0.05
        api.streams._streams[CHANNEL].is_over = False
        path = f"/agents/{CHANNEL}/events"
        stream = await ask(api, keys["red"], "GET", path)
        _, reader = await api.keys.named.add("reader", "red", (Scope.READ_CALLS,))
        other = await ask(api, reader, "GET", path)
        for one in (stream, other):
            assert one.status == 200
            assert (await one.content.readuntil(HEARTBEAT)).endswith(HEARTBEAT)
        # An administrator may all that any other scope allows.
        await api.keys.named.change("reader", (Scope.ADMIN,), {})
        if loss == "rotated":
            await api.keys.named.rotate("key-of-red", 0)
        elif loss == "revoked":
            await api.keys.named.revoke("key-of-red")
        else:
            await api.keys.named.change("key-of-red", (Scope.START,), {})
        async with asyncio.timeout(DEADLINE_S):
            await stream.content.read()
        assert stream.content.at_eof()
        assert (await ask(api, keys["red"], "GET", path)).status == (
            403 if loss == "scope" else 401
        )
        # Of another key it goes on, also after what has come so far.
        other.content.read_nowait()
        for _ in range(3):
            # At the end of a stream it returns what is left.
            assert await other.content.readuntil(HEARTBEAT) == HEARTBEAT
        other.close()


@pytest.mark.asyncio
async def test_a_limit_of_cost_needs_a_price(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, _):
        limits = KeyLimits(cost_per_day=5)
        _, key = await api.keys.named.add("shop", "", (Scope.START,), limits)
        refused = await start(api, key, "one")
        assert (refused.status, (await refused.json())["code"]) == (400, "no_price")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("role", "scopes"),
    [("user", {Scope.START}), ("listener", {Scope.LISTEN}), ("agent", set())],
)
async def test_a_token_needs_the_scope_of_its_role(
    role: str, scopes: set[Scope], tmp_path: Path
) -> None:
    async with two_teams(tmp_path) as (api, secrets):
        wanted = {"channel_name": "free", "role": role, "uid": 7}
        for scope in Scope:
            answer = await ask(api, secrets[f"only_{scope}"], "POST", "/token", wanted)
            is_allowed = scope in scopes or scope is Scope.ADMIN
            assert answer.status == (200 if is_allowed else 403), scope
            if is_allowed:
                token = (await answer.json())["token"]
                claims = RoomTokens([SECRET]).read(token, channel="free", role=role)  # type: ignore[arg-type]
                assert claims is not None
                assert (claims.team, claims.key) == ("blue", f"only_{scope}")


@pytest.mark.asyncio
async def test_a_server_without_keys_serves_its_machine_and_named_keys() -> None:
    settings = SETTINGS.model_copy(update={"api_keys": ()})
    async with serve_api(settings) as api:
        assert (await api.get("/agents")).status == 200
        # A key that has the form of a named one is not taken for none.
        headers = {"Authorization": "Bearer pk_000000000000_" + "x" * 43}
        assert (await api.get("/agents", headers=headers)).status == 503


def test_use_without_a_key_is_counted_for_nobody() -> None:
    usage = KeyUsage()
    usage.admit(EVERYTHING, "agent-1")
    assert usage.by_key(lambda use: use.started) == {}


async def mint(api: Api, key: str, **wanted: Any) -> str:
    answer = await ask(api, key, "POST", "/token", wanted)
    return str((await answer.json())["token"])


@pytest.mark.asyncio
async def test_the_bridge_knows_teams_scopes_and_limits(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):

        async def by(credential: str, channel: str = CHANNEL) -> Any:
            headers = {"Authorization": f"Bearer {credential}"}
            return await connect(api, create(), f"/ws/{channel}", headers=headers)

        taken_over = (1006, None)
        assert await by(secrets["red"]) == taken_over
        assert await by(await mint(api, secrets["red"], channel_name=CHANNEL)) == taken_over
        assert (await by(secrets["blue"]))[1] == "channel_taken"
        wanted = {"channel_name": CHANNEL, "may_start": True}
        assert (await by(await mint(api, secrets["blue"], **wanted)))[1] == "channel_taken"
        headers = {"Authorization": f"Bearer {secrets['only_listen']}"}
        assert await status(api, f"/ws/{CHANNEL}", headers=headers) == 403
        assert len(api.placement.adoptions) == 2
        # A start by a token counts for the key that the token was made with.
        limits = KeyLimits(agents=1)
        _, key = await api.keys.named.add("shop", "sales", (Scope.START,), limits)
        tokens = [
            await mint(api, key, channel_name=name, may_start=True) for name in ("one", "two")
        ]
        assert await by(tokens[0], "one") == taken_over
        started = api.placement.configs["one"]
        assert (started.team, started.key) == ("sales", "shop")
        assert (await by(tokens[1], "two"))[1] == "key_limit"
        api.keys.usage.give_up(started.agent_id)
        await api.keys.named.revoke("shop")
        headers = {"Authorization": f"Bearer {tokens[1]}"}
        assert await status(api, "/ws/two", headers=headers) == 401
        entries = await (await ask(api, OWNER, "GET", "/audit?key=shop")).json()
        found = [(one["action"], one["call_id"]) for one in entries["entries"]]
        assert ("start_agent", started.agent_id) in found
