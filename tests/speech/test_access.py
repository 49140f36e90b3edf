"""Keys, ephemeral keys and pages of other sites, at the routes of the model server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from realtime.openai.client_secrets import create_client_secret
from speech.engine_pool import Engines
from speech.ephemeral_keys import EphemeralKeys
from speech.errors import SpeechError
from speech.server import ModelServer, run_model_server
from speech.settings import SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.speech.local_model import model_server

pytestmark = pytest.mark.speech

KEY = "the key of this server"
PAGE = "https://shop.example"
SECRETS = "/v1/realtime/client_secrets"


@asynccontextmanager
async def _served(
    engines: Engines | None = None, **options: Any
) -> AsyncIterator[tuple[ModelServer, str]]:
    async with model_server(engines, SpeechSettings(**options)) as (server, port):
        yield server, f"http://127.0.0.1:{port}"


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def _first_event(http: aiohttp.ClientSession, url: str, **options: Any) -> dict[str, Any]:
    async with http.ws_connect(f"{url}/v1/realtime?model=m", **options) as ws:
        event: dict[str, Any] = await ws.receive_json(timeout=DEADLINE_S)
        return event


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (_bearer("wrong"), 401),
        (_bearer("ek_unknown"), 401),
        ({"Authorization": KEY}, 401),
        (_bearer(KEY), 200),
        ({"api-key": KEY}, 200),
        ({"Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{KEY}"}, 200),
    ],
)
async def test_with_a_key_only_who_has_it_may_do_anything(
    headers: dict[str, str], status: int
) -> None:
    async with _served(api_key=KEY) as (_, url), aiohttp.ClientSession() as http:
        for path in ("/v1/models", "/v1/models/parley-local"):
            async with http.get(url + path, headers=headers) as answer:
                assert answer.status == status
        async with http.post(url + SECRETS, headers=headers) as answer:
            assert answer.status == status
        realtime = f"{url}/v1/realtime?model=m"
        async with http.get(realtime, headers=headers) as answer:
            # 426: only the upgrade is missing.
            assert answer.status == (401 if status == 401 else 426)
        async with http.get(f"{url}/healthz") as answer:
            assert answer.status == 503


@pytest.mark.asyncio
async def test_an_ephemeral_key_opens_sessions_with_its_settings_until_it_expires(
    engines: Engines,
) -> None:
    now_ms = 1_000_000_000_000
    async with _served(engines, api_key=KEY) as (server, url), aiohttp.ClientSession() as http:
        server.keys._now_ms = lambda: now_ms
        session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be a pirate."}
        body = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": session}
        async with http.post(url + SECRETS, json=body, headers=_bearer(KEY)) as answer:
            made = await answer.json()
        assert made["expires_at"] == now_ms // 1000 + 60
        assert made["session"]["instructions"] == "Be a pirate."

        created = await _first_event(http, url, headers=_bearer(made["value"]))
        assert created["session"]["instructions"] == "Be a pirate."
        protocols = ("realtime", f"openai-insecure-api-key.{made['value']}")
        created = await _first_event(http, url, protocols=protocols)
        assert created["session"]["instructions"] == "Be a pirate."

        async with http.post(url + SECRETS, headers=_bearer(made["value"])) as answer:
            assert (answer.status, "no further keys" in await answer.text()) == (401, True)
        now_ms += 60_000
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await _first_event(http, url, headers=_bearer(made["value"]))


@pytest.mark.asyncio
async def test_official_clients_and_ours_get_ephemeral_keys() -> None:
    async with _served(api_key=KEY) as (server, url):
        async with AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client:
            made = await client.realtime.client_secrets.create(
                session={"type": "realtime", "output_modalities": ["text"]}
            )
            assert made.session.type == "realtime"
            assert made.session.output_modalities == ["text"]
            assert [model.id async for model in client.models.list()] == ["parley-local"]
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("gpt-realtime")
        ours = await create_client_secret(url.replace("http", "ws"), KEY, ttl_s=30)
        assert server.keys.find(made.value) is not None
        assert server.keys.find(ours) is not None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "sunrise"}}, "expires_after.anchor"),
        ({"anything": 1}, "anything"),
        ({"session": {"type": "transcription"}}, "session.type"),
        ({"session": {"type": "realtime", "nothing": 1}}, "session.nothing"),
        ({"session": {"audio": {"output": {"speed": 9}}}}, "session.audio.output.speed"),
        ({"session": []}, "session"),
    ],
)
async def test_what_an_ephemeral_key_cannot_have_is_named(body: Any, param: str) -> None:
    async with _served() as (_, url), aiohttp.ClientSession() as http:
        async with http.post(url + SECRETS, json=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["param"] == param
        async with http.post(url + SECRETS, data=b"[1") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "invalid_json")
        async with http.post(url + SECRETS, data=b" " * 300_000) as answer:
            assert answer.status == 413


@pytest.mark.asyncio
async def test_pages_of_listed_origins_and_of_this_machine_may_ask() -> None:
    served = _served(allowed_origins=frozenset({PAGE}))
    async with served as (_, url), aiohttp.ClientSession() as http:
        for origin in (PAGE, "http://localhost:8000"):
            asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            async with http.options(url + SECRETS, headers=asking) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == origin
                assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            async with http.post(url + SECRETS, headers={"Origin": origin}) as answer:
                assert answer.status == 200
                assert answer.headers["Access-Control-Allow-Origin"] == origin
        for method in ("OPTIONS", "POST"):
            headers = {"Origin": "https://evil.example"}
            async with http.request(method, url + SECRETS, headers=headers) as answer:
                assert answer.status == 403
                assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.asyncio
async def test_with_a_key_a_proxy_may_pass_its_own_host_on() -> None:
    async with _served(api_key=KEY) as (_, url), aiohttp.ClientSession() as http:
        headers = {"Host": "voice.example", **_bearer(KEY)}
        async with http.get(f"{url}/v1/models", headers=headers) as answer:
            assert answer.status == 200


@pytest.mark.asyncio
async def test_without_a_key_only_this_machine_is_listened_to() -> None:
    with pytest.raises(SpeechError, match="set LOCAL_MODEL_API_KEY"):
        await run_model_server(SpeechSettings(host="0.0.0.0"))


def test_ephemeral_keys_are_bounded_and_the_oldest_give_way() -> None:
    now_ms = 0
    keys = EphemeralKeys(limit=2, now_ms=lambda: now_ms)
    first, second, third = (keys.create(None, ttl_s=10) for _ in range(3))
    assert keys.find(first.value) is None
    assert keys.find(second.value) is second
    assert keys.find(third.value) is third
    assert third.value not in repr(third)
    now_ms = 10_000
    assert keys.find(second.value) is None
    fourth, fifth = keys.create(None), keys.create(None)
    assert (keys.find(fourth.value), keys.find(fifth.value)) == (fourth, fifth)
