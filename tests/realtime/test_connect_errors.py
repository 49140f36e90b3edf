"""Each way in which a provider cannot be reached has its own line: phase, cause, remedy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yarl
from aiohttp import web

from realtime.connection import RealtimeApiConnection
from realtime.model import ModelConnectError
from realtime.openai.client_secrets import create_client_secret
from realtime.provider_socket import Address, ProviderSocket
from tests.fakes.gemini_live import Tls
from tests.fakes.http_proxy import FakeProxy
from tests.fakes.http_server import HttpServer, serving
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults
from tests.fakes.ports import lasting_port

KEY = "secret-key"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def failure(
    uri: str, *, timeout_s: float = 5.0, tls: ssl.SSLContext | None = None
) -> ModelConnectError:
    provider = ProviderSocket(uri, ssl_context=tls)
    with pytest.raises(ModelConnectError) as caught:
        await provider.connect(KEY, _address(uri), timeout_s=timeout_s)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None, "a log would show the library's own errors too"
    return caught.value


def _address(uri: str) -> Callable[[str | None], Address]:
    return lambda key: Address(yarl.URL(uri), {"api-key": key or ""})


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server that reads a little, says this, and hangs up; gives the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.asyncio
async def test_a_name_that_does_not_exist() -> None:
    error = await failure("ws://no-such-host.invalid")
    assert (error.code, error.is_retryable) == ("unreachable", True)
    assert "the name of no-such-host.invalid:80 cannot be looked up" in str(error)


@pytest.mark.asyncio
async def test_nothing_listens() -> None:
    port = lasting_port("127.0.0.1")
    error = await failure(f"ws://127.0.0.1:{port}")
    assert (error.code, error.is_retryable) == ("unreachable", True)
    assert f"127.0.0.1:{port} refused the connection: nothing listens there" in str(error)


@pytest.mark.asyncio
async def test_a_server_that_hangs_up() -> None:
    async with answering(b"") as port:
        error = await failure(f"ws://127.0.0.1:{port}")
    assert error.code == "unreachable"
    assert "closed the connection" in str(error) or "reset the connection" in str(error)


@pytest.mark.asyncio
async def test_a_server_without_websockets() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port:
        error = await failure(f"ws://127.0.0.1:{port}")
    assert (error.code, error.is_retryable) == ("handshake_failed", False)
    assert "is no WebSocket server" in str(error)


@pytest.mark.asyncio
async def test_a_server_without_tls() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port:
        error = await failure(f"wss://127.0.0.1:{port}")
    assert (error.code, error.is_retryable) == ("tls_failed", False)
    assert "check scheme and port" in str(error)


def _greet_twice(listening: socket.socket, tls: ssl.SSLContext) -> None:
    """A server's side of two handshakes that clients refuse."""
    for _ in range(2):
        accepted, _ = listening.accept()
        with accepted, contextlib.suppress(OSError):
            tls.wrap_socket(accepted, server_side=True).close()


@pytest.mark.asyncio
async def test_certificates_that_are_not_trusted_or_for_another_host(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "other.example")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(_greet_twice, listening, tls.server))
            unknown = await failure(f"wss://127.0.0.1:{port}")
            other = await failure(f"wss://localhost:{port}", tls=tls.client)
    assert {unknown.code, other.code} == {"untrusted_certificate"}
    assert "another host name" not in str(unknown)
    assert "it is for another host name" in str(other)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "check the API key"),
        (404, "check the model's name"),
        (429, "too many requests"),
        (503, "503 (Service Unavailable); try again later"),
        (599, "HTTP status 599"),
    ],
)
async def test_refusals_name_their_remedy(status: int, words: str) -> None:
    async with FakeRealtimeServer(faults=Faults(reject_status=status)) as server:
        connection = RealtimeApiConnection(server.uri, "m")
        with pytest.raises(ModelConnectError, match=str(status)) as caught:
            await connection.connect(KEY)
    assert words in str(caught.value)


@pytest.mark.asyncio
async def test_a_timeout_says_in_which_phase() -> None:
    async with FakeRealtimeServer(faults=Faults(is_mute=True)) as server:
        error = await failure(f"{server.uri}/v1/realtime", timeout_s=0.3)
    assert error.code == "timeout"
    assert "waiting for the handshake's answer" in str(error)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer", [b"\x00\xff garbage\r\n\r\n", b"HTTP/1.1 500 X\r\nA: " + b"a" * 70_000 + b"\r\n\r\n"]
)
async def test_what_is_no_http_is_not_told_as_a_status_that_nobody_sent(answer: bytes) -> None:
    async with answering(answer) as port:
        error = await failure(f"ws://127.0.0.1:{port}/v1/realtime")
    assert error.code == "handshake_failed"
    assert f"127.0.0.1:{port} answered with what is no HTTP; check scheme and port" in str(error)


# -- redirects ---------------------------------------------------------------------------------


@asynccontextmanager
async def recording_keys(keys: list[str]) -> AsyncIterator[int]:
    """A server that is never to be asked; what it is shown goes into `keys`."""

    async def steal(request: web.Request) -> web.Response:
        keys.append(request.headers.get("api-key", "") + request.headers.get("Authorization", ""))
        return web.Response(status=403)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", steal)
    async with serving(app) as port:
        yield port


def redirecting(status: int, target: str) -> web.Application:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": target})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    return app


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    keys: list[str] = []
    async with (
        recording_keys(keys) as other,
        serving(redirecting(status, f"http://127.0.0.1:{other}/a?token=secret")) as port,
    ):
        error = await failure(f"ws://127.0.0.1:{port}/v1/realtime")
        with pytest.raises(ModelConnectError, match=f"status {status}"):
            await create_client_secret(f"ws://127.0.0.1:{port}", KEY)
    assert keys == []
    assert (error.code, error.is_retryable) == ("redirected", False)
    assert f"http://127.0.0.1:{other}," in str(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("target", ["", "/elsewhere", "//[", "data:,x"])
async def test_a_redirect_to_nowhere_in_particular_is_refused_too(target: str) -> None:
    async with serving(redirecting(307, target)) as port:
        error = await failure(f"ws://127.0.0.1:{port}/v1/realtime")
    assert error.code == "redirected"


# -- proxies -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_encrypted_session_goes_through_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(tmp_path, "provider.test")
    seen: list[str] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.headers["api-key"])
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("hello")
        await answer.receive()
        return answer

    app = web.Application()
    app.router.add_get("/v1/realtime", handle)
    server = HttpServer(tls=tls.server)
    await server.start(app)
    try:
        async with FakeProxy(server.port, password="pass") as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pass@"))
            uri = "wss://provider.test/v1/realtime"
            provider = ProviderSocket(uri, ssl_context=tls.client)
            await provider.connect(KEY, _address(uri), timeout_s=5.0)
            assert await provider.receive() == "hello"
            await provider.close()
    finally:
        await server.stop()
    assert seen == [KEY]
    assert [head.split(" ", 2)[:2] for head in proxy.heads] == [["CONNECT", "provider.test:443"]]
    assert KEY not in proxy.heads[0]
    assert KEY.encode() not in proxy.tunnelled
    assert len(proxy.tunnelled) > 100


@pytest.mark.asyncio
async def test_a_plain_session_goes_through_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeRealtimeServer() as server:
        port = yarl.URL(server.uri).port or 0
        async with FakeProxy(port) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            connection = RealtimeApiConnection("ws://provider.test", "m")
            await connection.connect(KEY)
            await server.next_session()
            await connection.close()
            async with asyncio.timeout(5):
                key = await create_client_secret("ws://provider.test", KEY)
    assert key.startswith("ek_")
    assert [head.split(" ", 2)[0] for head in proxy.heads] == ["GET", "POST"]
    assert all(head.split(" ")[1].startswith("http://provider.test/") for head in proxy.heads)


@pytest.mark.asyncio
async def test_this_machine_is_reached_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES[:3]:
        monkeypatch.setenv(name, f"http://127.0.0.1:{lasting_port('127.0.0.1')}")
    async with FakeRealtimeServer() as server:
        connection = RealtimeApiConnection(server.uri, "m")
        await connection.connect(KEY)
        await connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [403, 502])
async def test_a_proxy_that_refuses_is_named(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeProxy(1, status=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = await failure("wss://provider.test")
        name = proxy.url.removeprefix("http://")
    assert (error.code, error.is_retryable) == ("proxy_refused", status == 502)
    assert f"the proxy {name} refused the connection with HTTP status {status}" in str(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("user", ["", "me:secret-wrong@"])
async def test_a_proxy_that_wants_a_password_says_so(
    scheme: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeProxy(1, password="pass") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("//", f"//{user}"))
        error = await failure(f"{scheme}://provider.test")
    assert (error.code, error.is_retryable) == ("proxy_refused", False)
    assert "it wants a user and a password" in str(error)


@pytest.mark.asyncio
async def test_a_proxy_that_is_down_is_told_apart_from_the_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = lasting_port("127.0.0.1")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
    down = await failure("wss://provider.test")
    assert f"the proxy 127.0.0.1:{port} refused the connection" in str(down)
    monkeypatch.setenv("HTTPS_PROXY", "http://no-such-host.invalid:3128")
    unknown = await failure("wss://provider.test")
    assert "the name of the proxy no-such-host.invalid:3128 cannot be looked up" in str(unknown)
    assert {down.code, unknown.code} == {"unreachable"}


@pytest.mark.asyncio
async def test_a_variable_that_names_no_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@127.0.0.1:1080")
    error = await failure("wss://provider.test")
    assert (error.code, error.is_retryable) == ("invalid_proxy", False)
    assert str(error).startswith("HTTPS_PROXY")
