"""Limits, origins and headers of the real application, as seen by clients behind a proxy."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import jwt
import pytest
from aiohttp import ClientResponse, WSServerHandshakeError
from pydantic import SecretStr

from config.settings import Settings
from tests.control.served_api import SECRET, Api, serve_api

OLD_SECRET = "an-old-secret-an-old-secret-an-old-secret"
APP = "https://app.example"
# So many requests at once, and then none for a long time, however slow the machine.
SLOWLY = 0.001
BURST = 60


def settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "api_keys": (SecretStr("key-one-of-the-tests"), SecretStr("key-two-of-the-tests")),
        "room_token_secret": SecretStr(SECRET),
        "room_token_old_secrets": (SecretStr(OLD_SECRET),),
        "trusted_proxies": (ip_network("127.0.0.1/32"),),
        "allowed_origins": (APP,),
        "requests_per_s_per_address": SLOWLY,
        "requests_per_s_per_key": SLOWLY,
        "local_model_uri": "ws://127.0.0.1:9",
    }
    return Settings(**(values | changes))


def of(address: str, key: str | None = "key-one-of-the-tests") -> dict[str, str]:
    headers = {"X-Forwarded-For": address}
    return headers if key is None else headers | {"Authorization": f"Bearer {key}"}


async def code_of(response: ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json()).get("code", "")


async def ask(api: Api, headers: dict[str, str], count: int, path: str = "/agents") -> list[int]:
    return [(await api.get(path, headers=headers)).status for _ in range(count)]


@pytest.mark.asyncio
async def test_an_address_over_its_rate_gets_retry_after_and_others_are_served() -> None:
    async with serve_api(settings(requests_per_s_per_key=1_000.0)) as api:
        statuses = await ask(api, of("203.0.113.7"), BURST + 5)
        assert statuses == [200] * BURST + [429] * 5
        refused = await api.get("/agents", headers=of("203.0.113.7"))
        assert await code_of(refused) == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) >= 1
        assert await ask(api, of("203.0.113.8"), 1) == [200]
        # Whether it lives may always be asked, and this machine's own programs are not counted.
        assert await ask(api, of("203.0.113.7"), 1, "/healthz") == [200]
        assert await ask(api, {"Authorization": "Bearer key-one-of-the-tests"}, 5) == [200] * 5


@pytest.mark.asyncio
async def test_a_key_over_its_rate_gets_retry_after_from_any_address() -> None:
    async with serve_api(settings(requests_per_s_per_address=1_000.0)) as api:
        statuses = [await ask(api, of(f"203.0.113.{n % 5}"), 1) for n in range(BURST + 5)]
        assert statuses == [[200]] * BURST + [[429]] * 5
        assert await ask(api, {"Authorization": "Bearer key-one-of-the-tests"}, 1) == [429]
        assert await ask(api, of("203.0.113.9", "key-two-of-the-tests"), 1) == [200]


@pytest.mark.asyncio
async def test_guessing_keys_is_slow() -> None:
    async with serve_api(settings()) as api:
        statuses = await ask(api, of("203.0.113.7", "guess"), 10)
        # Three wrong ones cost as much as sixty requests.
        assert statuses[:3] == [401] * 3
        assert statuses[4:] == [429] * 6
        assert await ask(api, of("203.0.113.8"), 1) == [200]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "hop", ["203.0.113.7:41234", "[2001:db8::1]:41234", "unknown", "", "127.0.0.1:9"]
)
async def test_guessing_keys_is_slow_however_the_proxy_writes_the_client(hop: str) -> None:
    async with serve_api(settings()) as api:
        statuses = await ask(api, of(hop, "guess"), 10)
        assert statuses[:3] == [401] * 3
        assert statuses[4:] == [429] * 6


@pytest.mark.asyncio
async def test_open_sockets_of_an_address_are_limited() -> None:
    limited = settings(max_open_requests_per_address=2, max_open_requests=3)
    async with serve_api(limited) as api:
        sockets = [
            await api.ws_connect("/rooms/demo/ws", headers=of("203.0.113.7", None))
            for _ in range(2)
        ]
        refused = await api.get("/agents", headers=of("203.0.113.7"))
        assert await code_of(refused) == (429, "too_many_open")
        sockets.append(await api.ws_connect("/rooms/demo/ws", headers=of("203.0.113.8", None)))
        full = await api.get("/agents", headers=of("203.0.113.9"))
        assert await code_of(full) == (503, "overloaded")
        # What this machine itself asks, agents among it, has its place.
        assert await ask(api, {"Authorization": "Bearer key-two-of-the-tests"}, 1) == [200]
        for socket in sockets:
            await socket.close()
        async with asyncio.timeout(10):
            # A socket that was closed is over a moment later.
            while (await ask(api, of("203.0.113.7"), 1)) != [200]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


# -- rotation -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_tokens_of_an_old_secret_are_good_until_it_is_taken_away() -> None:
    async with serve_api(settings()) as api:
        minted = await api.post(
            "/token",
            json={"channel_name": "demo"},
            headers={"Authorization": "Bearer key-two-of-the-tests"},
        )
        token = (await minted.json())["token"]
        jwt.decode(token, SECRET, algorithms=["HS256"])
        claims = {"channel": "demo", "uid": 0, "role": "user", "exp": 4_000_000_000}
        old = jwt.encode(claims, OLD_SECRET, algorithm="HS256")
        foreign = jwt.encode(claims, "f" * 40, algorithm="HS256")
        unsigned = jwt.encode(claims, "", algorithm="none")
        assert await join(api, token) == "joined"
        assert await join(api, old) == "joined"
        assert await join(api, foreign) == "unauthorized"
        assert await join(api, unsigned) == "unauthorized"
    async with serve_api(settings(room_token_old_secrets=())) as api:
        assert await join(api, old) == "unauthorized"


async def join(api: Api, token: str) -> str:
    async with api.ws_connect("/rooms/demo/ws") as socket, asyncio.timeout(10):
        frame = {"type": "join", "token": token, "instance": "i" * 16, "role": "user", "name": "x"}
        await socket.send_json(frame)
        answer = await socket.receive_json()
        return str(answer["code"] if answer["type"] == "error" else answer["type"])


# -- pages of other sites -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_listed_origin_may_ask_and_read() -> None:
    async with serve_api(settings()) as api:
        asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
        permission = await api.options("/start_agent", headers=asked)
        assert permission.status == 204
        assert permission.headers["Access-Control-Allow-Origin"] == APP
        assert "Authorization" in permission.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in permission.headers
        for path in ("/agents", "/nothing"):
            answer = await api.get(path, headers={"Origin": APP} | of("203.0.113.7"))
            assert answer.headers["Access-Control-Allow-Origin"] == APP
            assert "Origin" in answer.headers["Vary"]


@pytest.mark.asyncio
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://app.example"])
async def test_any_other_origin_may_not(origin: str) -> None:
    async with serve_api(settings()) as api:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        refused = await api.options("/start_agent", headers=asked)
        assert refused.status in (401, 405)
        answer = await api.get("/agents", headers={"Origin": origin} | of("203.0.113.7"))
        for response in (refused, answer):
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.asyncio
async def test_without_a_list_no_page_of_another_site_may_ask() -> None:
    async with serve_api(settings(allowed_origins=())) as api:
        asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
        refused = await api.options("/start_agent", headers=asked)
        assert not [name for name in refused.headers if name.startswith("Access-Control")]


@pytest.mark.asyncio
async def test_sockets_are_for_the_own_page_and_listed_origins() -> None:
    async with serve_api(settings()) as api:
        own = str(api.make_url("/")).rstrip("/")
        for origin in (own, APP):
            socket = await api.ws_connect("/rooms/demo/ws", headers={"Origin": origin})
            await socket.close()
        for origin in ("https://evil.example", "null"):
            with pytest.raises(WSServerHandshakeError) as caught:
                await api.ws_connect("/rooms/demo/ws", headers={"Origin": origin})
            assert caught.value.status == 403


# -- bodies ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("control.http.bodies.BODY_TIMEOUT_S", 0.05)
    monkeypatch.setattr("rtc.room_server.one_request_call.OFFER_TIMEOUT_S", 0.05)
    async with serve_api() as api:
        host, port = api.server.host, api.server.port
        for path in ("/start_agent", "/rooms/demo/call"):
            reader, writer = await asyncio.open_connection(host, port)
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n"
            writer.write(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
            async with asyncio.timeout(10):
                assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()
            await writer.wait_closed()
