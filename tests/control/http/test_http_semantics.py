"""HTTP manners of the whole API: methods, odd headers, large bodies, several requests at once."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from ipaddress import ip_network
from typing import Any

import jwt
import pytest
from aiohttp import hdrs
from pydantic import SecretStr

from cli.agent import _ask_local_model_uri
from cli.running import CommandError
from config.settings import Settings
from control.api.operation import Guard, Operation
from control.api.operations import OPERATIONS
from rtc.room_server.tokens import mint_token
from tests.control.api.test_agents import START, error_of
from tests.control.served_api import SECRET, Api, serve_api

URI = "ws://127.0.0.1:9"
KEY = "k" * 32
METRICS = "m" * 32
KEYED = Settings(
    api_keys=(SecretStr(KEY),),
    metrics_token=SecretStr(METRICS),
    room_token_secret=SecretStr(SECRET),
    local_model_uri=URI,
    requests_per_s_per_key=10_000,
)
OPEN = Settings(local_model_uri=URI)
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
)


def path_of(operation: Operation) -> str:
    return re.sub(
        r"{(\w+)}", lambda found: {"path": "app.js"}.get(found[1], "demo"), operation.path
    )


async def send(api: Api, data: bytes, *, count: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Bytes as they are; the answers: status, headers, body."""
    reader, writer = await asyncio.open_connection(api.host, api.port)
    writer.write(data)
    answers = []
    try:
        async with asyncio.timeout(20):
            for _ in range(count):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = b""
                if not data.startswith(b"HEAD"):
                    body = await reader.readexactly(int(headers.get("Content-Length", 0)))
                answers.append((int(head[0].split()[1]), headers, body))
    finally:
        writer.close()
        await writer.wait_closed()
    return answers


def request(
    method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    lines = {"Host": "127.0.0.1", "Content-Length": str(len(body))} | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin1") + body


# -- methods --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_head_is_understood_wherever_get_is() -> None:
    async with serve_api() as api:
        for one in OPERATIONS:
            if one.method != "GET" or one.name == "join_room":
                continue
            got = await api.get(path_of(one)) if one.name != "events" else None
            headed = await api.head(path_of(one))
            assert await headed.read() == b""
            assert headed.status != 405, one.name
            if got is not None:
                assert headed.status == got.status, one.name
                assert headed.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.asyncio
async def test_a_method_that_a_route_has_not_is_named_with_those_that_it_has() -> None:
    async with serve_api() as api:
        for path in {one.path for one in OPERATIONS}:
            here = next(one for one in OPERATIONS if one.path == path)
            methods = {one.method for one in OPERATIONS if one.path == path}
            methods |= {"HEAD"} if "GET" in methods else set()
            for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
                if method in methods:
                    continue
                response = await api.request(method, path_of(here))
                assert await error_of(response) == (405, "method_not_allowed"), (method, path)
                assert set(response.headers["Allow"].split(",")) == methods


@pytest.mark.asyncio
async def test_a_preflight_names_all_methods_and_headers_of_routes() -> None:
    settings = KEYED.model_copy(update={"allowed_origins": ("https://app.example",)})
    async with serve_api(settings) as api:
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
        permission = await api.options("/calls/x", headers=asked)
        assert permission.status == 204
        methods = set(permission.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS].split(", "))
        assert methods == {one.method for one in OPERATIONS} | {"HEAD"}
        headers = set(permission.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS].split(", "))
        parameters = [part for one in OPERATIONS for part in one.parameters]
        named = {part.name for part in parameters if part.where == "header"}
        assert headers >= {"Authorization", "Content-Type", "Range"} | named
        deleted = await api.delete(
            "/calls/x", headers={"Origin": asked["Origin"], "Authorization": f"Bearer {KEY}"}
        )
        assert deleted.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] == "https://app.example"


# -- who may ------------------------------------------------------------------------------------------

CLAIMS = {"channel": "demo", "uid": 7, "role": "agent", "exp": 4_000_000_000}
USER = mint_token(SECRET, channel="demo", uid=7, role="user", ttl_s=600)
FORGED = {
    "an expired token": jwt.encode(CLAIMS | {"exp": 1}, SECRET, algorithm="HS256"),
    "a foreign token": jwt.encode(CLAIMS, "f" * 40, algorithm="HS256"),
    "an unsigned token": jwt.encode(CLAIMS, "", algorithm="none"),
    "a token signed with the key": jwt.encode(CLAIMS, KEY, algorithm="HS256"),
}
CALLERS: dict[str, str | None] = {
    "nobody": None,
    "a wrong key": f"Bearer {KEY[:-1]}x",
    "part of a key": f"Bearer {KEY[:-1]}",
    "another scheme": f"Basic {KEY}",
    "a room token": f"Bearer {USER}",
    **{name: f"Bearer {token}" for name, token in FORGED.items()},
    "the metrics token": f"Bearer {METRICS}",
    "the room's secret": f"Bearer {SECRET}",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("caller", CALLERS)
async def test_no_operation_and_no_method_is_open_without_a_key(caller: str) -> None:
    header = CALLERS[caller]
    headers = {} if header is None else {"Authorization": header}
    open_paths = {path_of(one) for one in OPERATIONS if one.guard is not Guard.KEY}
    async with serve_api(KEYED) as api:
        for path in sorted({path_of(one) for one in OPERATIONS}):
            for method in METHODS:
                if path in open_paths and method in ("GET", "HEAD", "POST"):
                    continue
                if method == "CONNECT":
                    continue  # has no path
                response = await api.request(method, path, headers=headers, json=START)
                assert response.status == 401, (method, path)
        metrics = (await api.get("/metrics", headers=headers)).status
        assert metrics == (200 if caller == "the metrics token" else 401)
        assert api.placement.configs == {}


@pytest.mark.asyncio
async def test_requests_in_one_packet_are_each_looked_at() -> None:
    good = {"Authorization": f"Bearer {KEY}"}
    body = json.dumps(START).encode()
    typed = {"Content-Type": "application/json"}
    async with serve_api(KEYED) as api:
        data = (
            request("GET", "/agents", good)
            + request("GET", "/agents")
            + request("POST", "/start_agent", typed, body)
            + request("POST", "/start_agent", good | typed, body)
            + request("GET", "/healthz")
        )
        answers = await send(api, data, count=5)
        assert [status for status, _, _ in answers] == [200, 401, 401, 200, 200]


@pytest.mark.asyncio
async def test_a_body_is_not_read_before_its_sender_is_known() -> None:
    async with serve_api(KEYED) as api:
        head = {"Content-Type": "application/json", "Expect": "100-continue"}
        head["Content-Length"] = "100000"
        for path in ("/start_agent", "/agents/demo/text", "/stop_agent"):
            ((status, _, _),) = await send(api, request("POST", path, head))
            assert status == 401, path
        packed = gzip.compress(bytes(50_000_000), mtime=0)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        response = await api.post("/start_agent", data=packed, headers=headers)
        assert response.status == 401


# -- odd headers ----------------------------------------------------------------------------------

ODD = [
    {"Origin": "http://["},
    {"Origin": "http://[::1"},
    {"Origin": "\xff\xfe"},
    {"Origin": "http://a.example\tx"},
    {"Origin": ""},
    {"Host": "["},
    {"Host": "\xff"},
    {"Host": ":"},
    {"Authorization": "Bearer \xff\x80"},
    {"Authorization": "Bearer"},
    {"Accept": "application/openmetrics-text; version=\xff;q=x"},
    {"Accept": "application/openmetrics-text; version=2.\xff"},
    {"Accept": "a/b;" * 500},
    {"Range": "bytes=9-1"},
    {"Range": "lines=\xff"},
    {"If-Modified-Since": "Thu, 99 Foo 99999 99:99:99 GMT"},
    {"If-None-Match": '"\xff'},
    {"X-Forwarded-For": "\xff, [, 1.2.3.4:99999999"},
    {"Cookie": "\xff=;;;"},
    {"Content-Type": "\xff; charset=\xff"},
    {"Last-Event-ID": "\xff:1"},
    {"Idempotency-Key": "\xff"},
    {"Upgrade": "websocket", "Connection": "upgrade"},
    {"Upgrade": "websocket", "Connection": "upgrade", "Sec-WebSocket-Key": "\xff"},
    {"Upgrade": "h2c", "Connection": "upgrade, http2-settings"},
    {"Access-Control-Request-Method": "\xff", "Origin": "\xff"},
    {"Expect": "\xff"},
    {"Content-Encoding": "\xff"},
]


@pytest.mark.asyncio
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "settings", [OPEN, KEYED.model_copy(update={"allowed_origins": ("https://a",)})]
)
async def test_odd_headers_are_no_failure_of_the_server(
    odd: dict[str, str], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"} | odd
    async with serve_api(settings) as api:
        for one in OPERATIONS:
            for method in dict.fromkeys((one.method, "HEAD", "OPTIONS")):
                ((status, given, body),) = await send(api, request(method, path_of(one), headers))
                # 503: this store was never opened.
                assert status < 500 or status == 503, (method, one.path, body)
                if status >= 400 and status != 416:  # whose answer is the size in its header
                    assert given["Content-Type"].startswith("application/json"), (one.path, given)
                    if method != "HEAD":
                        assert set(json.loads(body)) >= {"error", "code"}
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "Traceback" not in caplog.text


@pytest.mark.asyncio
async def test_paths_forge_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    async with serve_api() as api:
        api.placement.failure = RuntimeError("of ours")
        await api.post("/start_agent", json=START)
        for path in (
            "/agents/%0aERROR",
            "/agents/%0d%0aERROR/text",
            "/%1b[2J",
            "/web/%00",
            "/calls/%ff",
        ):
            ((status, _, _),) = await send(api, request("GET", path))
            assert 400 <= status < 500
    for record in caplog.records:
        assert "\n" not in record.getMessage()
        assert "ERROR" not in record.getMessage()


@pytest.mark.asyncio
async def test_a_page_whose_socket_was_refused_learns_why_by_asking_without_one() -> None:
    asked = {"X-Page-Origin": "https://voice.example", "Host": "127.0.0.1:8080"}
    async with serve_api(KEYED) as api:
        refused = await api.get("/rooms/demo/ws", headers=asked)
        assert await error_of(refused) == (403, "foreign_origin")
        own = asked | {"X-Page-Origin": "https://127.0.0.1:8080"}
        assert await error_of(await api.get("/rooms/demo/ws", headers=own)) == (400, "bad_request")


@pytest.mark.asyncio
async def test_the_refusal_of_a_page_names_the_compared_values() -> None:
    headers = {"Origin": "https://voice.example", "Host": "127.0.0.1:8080"}
    for settings, path in ((OPEN, "/rooms/demo/ws"), (KEYED, "/rooms/demo/ws"), (OPEN, "/agents")):
        async with serve_api(settings) as api:
            refused = await api.get(path, headers=headers)
            assert await error_of(refused) == (403, "foreign_origin")
            text = (await refused.json())["error"]
            assert "https://voice.example" in text
            assert "127.0.0.1:8080" in text
            key = {"Authorization": f"Bearer {KEY}"} if settings is KEYED else {}
            figures = await (await api.get("/metrics", headers=key)).text()
            assert 'parley_http_refusals_total{code="foreign_origin"} 1.0' in figures


# -- large bodies ---------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        {f"{number:x}": 0 for number in range(27_000)},
        {"memory": [""] * 80_000},
        {"metadata": {str(number): 1 for number in range(25_000)}},
        {"tools": [{}] * 60_000},
        {"turn_detection": {f"{number:x}": 0 for number in range(27_000)}},
        {"model_settings": {"extra": [[]] * 60_000}},
        {f"{number:x}": 0 for number in range(150)},
        {"memory": [""] * 150},
    ],
)
async def test_a_body_with_very_much_wrong_is_refused_in_short(body: dict[str, Any]) -> None:
    data = json.dumps(START | body, separators=(",", ":"))
    assert len(data) < 256 * 1024
    async with serve_api() as api:
        response = await api.post("/start_agent", data=data, headers=JSON)
        assert await error_of(response) == (400, "invalid_request")
        answer = await response.json()
        assert len(answer.get("details", ())) <= 10
        assert len(await response.text()) < 4_000


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("gzip", b"\xff\xff", (400, "bad_request")),
        ("deflate", b"\xff\xff", (400, "bad_request")),
        ("br", b"\xff\xff", (415, "unsupported_encoding")),
        ("gzip", gzip.compress(bytes(50_000_000), mtime=0), (413, "too_large")),
        ("gzip", gzip.compress(b"[" * 100_000, mtime=0), (400, "invalid_request")),
    ],
)
@pytest.mark.parametrize("path", ["/start_agent", "/agents/demo/text", "/agents/demo/interrupt"])
async def test_bodies_that_are_packed_wrongly(
    encoding: str, body: bytes, expected: tuple[int, str], path: str
) -> None:
    async with serve_api() as api:
        headers = JSON | {"Content-Encoding": encoding}
        assert await error_of(await api.post(path, data=body, headers=headers)) == expected


@pytest.mark.asyncio
async def test_a_packed_body_is_understood() -> None:
    async with serve_api() as api:
        data = gzip.compress(json.dumps(START).encode(), mtime=0)
        response = await api.post(
            "/start_agent", data=data, headers=JSON | {"Content-Encoding": "gzip"}
        )
        assert response.status == 200


# -- readiness --------------------------------------------------------------------------------------


async def told_uri(api: Api, **headers: str) -> str | None:
    response = await api.get(
        "/readyz", headers={name.replace("_", "-"): text for name, text in headers.items()}
    )
    assert response.status == 200
    uri = (await response.json())["local_model_uri"]
    return None if uri is None else str(uri)


def let_know(api: Api) -> None:
    api.readiness = api.readiness.model_copy(update={"local_model_uri": URI})


@pytest.mark.asyncio
async def test_only_key_holders_see_the_local_models_address() -> None:
    async with serve_api(KEYED) as api:
        let_know(api)
        assert await told_uri(api) is None
        assert await told_uri(api, Authorization=f"Bearer {KEY[:-1]}") is None
        assert await told_uri(api, Authorization=f"Bearer {METRICS}") is None
        assert await told_uri(api, Authorization=f"Bearer {KEY}") == URI
    async with serve_api(OPEN) as api:
        let_know(api)
        assert await told_uri(api) == URI
        assert await told_uri(api, Host="evil.example") is None
        assert await told_uri(api, Origin="https://evil.example") is None
    async with serve_api(OPEN.model_copy(update={"trusted_proxies": PROXIES})) as api:
        let_know(api)
        assert await told_uri(api, X_Forwarded_For="203.0.113.7") is None


PROXIES = (ip_network("127.0.0.1/32"),)


@pytest.mark.asyncio
async def test_readiness_is_no_place_to_guess_keys() -> None:
    settings = KEYED.model_copy(
        update={"trusted_proxies": PROXIES, "requests_per_s_per_address": 0.001}
    )
    async with serve_api(settings) as api:
        let_know(api)
        for number in range(10):
            wrong = f"Bearer {number}"
            assert await told_uri(api, X_Forwarded_For="203.0.113.7", Authorization=wrong) is None
        good = f"Bearer {KEY}"
        assert await told_uri(api, X_Forwarded_For="203.0.113.7", Authorization=good) is None
        assert await told_uri(api, X_Forwarded_For="203.0.113.8", Authorization=good) == URI


@pytest.mark.asyncio
async def test_an_agent_in_the_foreground_asks_with_a_key() -> None:
    async with serve_api(KEYED) as api:
        let_know(api)
        url = str(api.make_url("/")).rstrip("/")
        assert await asyncio.to_thread(_ask_local_model_uri, url, KEYED) == URI
        with pytest.raises(CommandError, match="API_KEYS"):
            await asyncio.to_thread(_ask_local_model_uri, url, OPEN)
