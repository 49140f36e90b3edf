"""Who gets over the bridge, as whom, and to which call; the agents exist in name only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientWSTimeout, WSMsgType, WSServerHandshakeError
from pydantic import SecretStr

from config.settings import Settings
from control.api import bridge
from control.placement import AtCapacityError, DrainingError
from tests.control.served_api import SECRET, Api, serve_api

KEY = "k" * 32
KEYED = Settings(
    local_model_uri="ws://127.0.0.1:9",
    api_keys=(SecretStr(KEY),),
    room_token_secret=SecretStr(SECRET),
    allowed_origins=("https://app.example",),
)
BEARER = {"Authorization": f"Bearer {KEY}"}

pytestmark = pytest.mark.asyncio


def create(config: dict[str, Any] | None = None, **fields: Any) -> str:
    return json.dumps({"type": "client_session_create", "config": config or {}, **fields})


async def token(api: Api, **claims: Any) -> str:
    answer = await api.post("/token", json={"channel_name": "demo", **claims}, headers=BEARER)
    return str((await answer.json())["token"])


async def connect(api: Api, first: str | None, path: str = "/ws/demo", **options: Any) -> Any:
    """How a connection ends: its close code, and the last event before it."""
    async with api.ws_connect(path, **options) as socket:
        if first is not None:
            await socket.send_str(first)
        event: dict[str, Any] = {}
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                event = json.loads(message.data)
        return socket.close_code, event.get("code")


async def status(api: Api, path: str = "/ws/demo", **options: Any) -> int:
    with pytest.raises(WSServerHandshakeError) as caught:
        await connect(api, create(), path, **options)
    return caught.value.status


async def test_on_this_machine_without_keys_a_first_message_starts_a_call() -> None:
    async with serve_api() as api:
        first = create({"voice": "marin", "name": "Ada", "user_uid": 7})
        # Taken over: what follows is the agent's.
        assert await connect(api, first) == (1006, None)
        config = api.placement.configs["demo"]
        assert (config.voice, config.name) == ("marin", "Ada")
        (adoption,) = api.placement.adoptions
        assert (adoption.uid, adoption.may_replace, adoption.last_seq) == (7, True, None)
        assert adoption.dialect == "parley"
        # All that was read, as it was on the wire: a masked text frame.
        assert adoption.received[0] == 0x81
        assert len(adoption.received) == len(first) + 6
        assert adoption.secret not in repr(adoption)
        await connect(api, create({"voice": "other"}))
        assert len(api.placement.configs) == 1
        assert api.placement.adoptions[1].uid >= 2**31
        assert await status(api, headers={"Host": "rebound.example"}) == 403
        assert await status(api, headers={"Origin": "https://evil.example"}) == 403


async def test_a_token_is_taken_from_header_query_and_subprotocol() -> None:
    async with serve_api(KEYED) as api:
        await api.post("/start_agent", json={"channel_name": "demo"}, headers=BEARER)
        mine, anyone = await token(api, uid=7), await token(api)
        assert await connect(api, create(), headers={"Authorization": f"Bearer {mine}"}) == (
            1006,
            None,
        )
        assert await connect(api, create(), f"/ws/demo?token={anyone}") == (1006, None)
        page = {"Origin": "https://app.example"}
        assert await connect(api, create(), protocols=["bearer", mine], headers=page) == (
            1006,
            None,
        )
        first, second, third = api.placement.adoptions
        assert (first.uid, first.may_replace) == (7, True)
        assert second.uid >= 2**31
        assert not second.may_replace
        assert third.uid == 7
        assert len({one.session_id for one in api.placement.adoptions}) == 3


async def test_nobody_else_gets_in() -> None:
    async with serve_api(KEYED) as api:
        await api.post("/start_agent", json={"channel_name": "demo"}, headers=BEARER)
        good = await token(api, uid=7)
        assert await status(api) == 401
        assert await status(api, headers={"Authorization": "Bearer nonsense"}) == 401
        # An API key in an address would end up in logs.
        assert await status(api, f"/ws/demo?token={KEY}") == 401
        assert await status(api, f"/ws/other?token={good}") == 403
        of_agent = await token(api, uid=1000, role="agent")
        assert await status(api, f"/ws/demo?token={of_agent}") == 403
        foreign = {"Origin": "https://evil.example"}
        assert await status(api, f"/ws/demo?token={good}", headers=foreign) == 403
        assert await connect(api, create({"user_uid": 8}), f"/ws/demo?token={good}") == (
            4403,
            "forbidden",
        )
        assert api.placement.adoptions == []


async def test_a_start_needs_a_key_or_a_token_for_it_and_such_a_token_decides_little() -> None:
    async with serve_api(KEYED) as api:
        joiner, starter = await token(api), await token(api, may_start=True)
        refused = (4403, "forbidden")
        assert await connect(api, create(), f"/ws/demo?token={joiner}") == refused
        for field in ("instructions", "provider", "tools", "thread_id", "greeting", "surprise"):
            wanted = create({field: "x"})
            assert await connect(api, wanted, f"/ws/demo?token={starter}") == refused
        assert api.placement.configs == {}
        wanted = create({"voice": "marin", "language": "de"})
        assert await connect(api, wanted, f"/ws/demo?token={starter}") == (1006, None)
        assert api.placement.configs["demo"].language == "de"
        anything = create({"instructions": "Be brief.", "surprise": 1})
        assert await connect(api, anything, "/ws/other", headers=BEARER) == (1003, "invalid_config")
        fine = create({"instructions": "Be brief."})
        assert await connect(api, fine, "/ws/other", headers=BEARER) == (1006, None)
        assert api.placement.configs["other"].system_message == "Be brief."


async def test_a_session_is_resumed_by_its_secret_in_its_call_alone() -> None:
    async with serve_api() as api:
        await connect(api, create({"user_uid": 7}))
        (begun,) = api.placement.adoptions
        mine: dict[str, Any] = {
            "session_id": begun.session_id,
            "secret": begun.secret,
            "last_seq": 5,
        }
        assert await connect(api, create(**mine)) == (1006, None)
        resumed = api.placement.adoptions[1]
        assert (resumed.session_id, resumed.uid) == (begun.session_id, 7)
        assert (resumed.secret, resumed.last_seq) == (begun.secret, 5)
        gone = (4404, "session_gone")
        changes: tuple[dict[str, Any], ...] = (
            {"secret": ""},
            {"secret": "8" + begun.secret[1:]},
            {"secret": begun.secret[:-1]},
            {"session_id": "another"},
        )
        for change in changes:
            assert await connect(api, create(**(mine | change))) == gone
        assert await connect(api, create(**mine), "/ws/other") == gone
        assert "other" not in api.placement.configs
        # Another call in the same channel.
        await api.post("/stop_agent", json={"channel_name": "demo"})
        assert await connect(api, create(**mine)) == gone
        await api.post("/start_agent", json={"channel_name": "demo"})
        assert await connect(api, create(**mine)) == gone


async def test_a_first_message_comes_soon_or_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "FIRST_MESSAGE_TIMEOUT_S", 0.2)
    async with serve_api() as api:
        assert await connect(api, None) == (4003, "first_message_timeout")
    monkeypatch.setattr(bridge, "FIRST_MESSAGE_TIMEOUT_S", 20.0)
    monkeypatch.setattr(bridge, "MAX_PENDING", 1)
    async with serve_api() as api, api.ws_connect("/ws/demo") as oldest:
        assert await connect(api, create()) == (1006, None)
        assert json.loads((await oldest.receive()).data)["code"] == "first_message_timeout"
        await oldest.receive()
        assert oldest.close_code == 4003


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        (
            AtCapacityError("full", reason="agents", figures={}, retry_after_s=1),
            (1013, "at_capacity"),
        ),
        (DrainingError(), (1013, "draining")),
    ],
)
async def test_a_start_that_fails_is_told_by_its_code(
    failure: Exception, ending: tuple[int, str]
) -> None:
    async with serve_api() as api:
        api.placement.failure = failure
        assert await connect(api, create()) == ending


async def test_a_client_that_leaves_while_its_agent_starts_leaves_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_api() as api:
        begun, go_on = asyncio.Event(), asyncio.Event()
        start = api.placement.start

        async def slow_start(*arguments: Any, **options: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await start(*arguments, **options)

        stopped = asyncio.Event()
        stop = api.placement.stop

        async def noted_stop(*arguments: Any) -> Any:
            stopped.set()
            return await stop(*arguments)

        monkeypatch.setattr(api.placement, "start", slow_start)
        monkeypatch.setattr(api.placement, "stop", noted_stop)
        # It does not wait for an answer to its goodbye: the server has none before the agent is there.
        no_wait = ClientWSTimeout(ws_close=0.1)
        async with api.ws_connect("/ws/demo", timeout=no_wait) as socket:
            await socket.send_str(create())
            await begun.wait()
        go_on.set()
        async with asyncio.timeout(10):
            await stopped.wait()
        assert api.placement.configs == {}
        assert api.placement.adoptions == []
