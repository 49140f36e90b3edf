"""Connections over real sockets: crowds that ask for nothing, deadlines, what is no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiohttp import web

from http_server.connections import RESERVE, ConnectionLimits
from tests.http_server.stage import GET, OWN, Stage, read_all, read_answer, staged, until

LIMITS = ConnectionLimits(total=20, per_address=8, head_timeout_s=30.0, idle_timeout_s=30.0)
STRANGER = "127.0.0.2"
SECRET = "k" * 32


@contextlib.contextmanager
def closing_all(clients: list[socket.socket]) -> Iterator[list[socket.socket]]:
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


async def is_served(stage: Stage, source: str = OWN, path: bytes = b"/") -> bool:
    client = stage.connect(source, GET.replace(b"/ ", path + b" ", 1))
    with closing_all([client]):
        return (await read_answer(client)).startswith(b"HTTP/1.1 200")


@pytest.mark.asyncio
@pytest.mark.parametrize("data", [b"", b"GET /", b"GET / HTTP/1.1\r\nX: ", GET])
@pytest.mark.parametrize("crowd", [[OWN], [STRANGER], [f"127.0.0.{n}" for n in range(2, 30)]])
async def test_idle_connections_do_not_block_new_ones(data: bytes, crowd: list[str]) -> None:
    async with staged(LIMITS) as stage:
        with closing_all([]) as clients:
            for number in range(60):
                clients.append(stage.connect(crowd[number % len(crowd)], data))
                # In a hurry, but so that each is seen.
                await until(lambda: stage.site.open + stage.site.evicted >= len(clients))
            assert stage.site.open <= LIMITS.total
            assert stage.site.evicted >= 60 - LIMITS.total
            for source in (OWN, STRANGER, "127.0.0.40"):
                assert await is_served(stage, source)
        await until(lambda: stage.site.open == 0)


@pytest.mark.asyncio
async def test_a_crowd_takes_its_own_places_and_those_in_use_stay() -> None:
    async with staged(LIMITS) as stage:
        held = stage.connect("127.0.0.3", GET.replace(b"/", b"/held", 1))
        quiet = stage.connect("127.0.0.4", GET)
        with closing_all([held, quiet]) as clients:
            assert (await read_answer(quiet)).endswith(b"hello")
            for _ in range(50):
                clients.append(stage.connect(STRANGER))
            await until(lambda: stage.site.evicted >= 50 - LIMITS.per_address)
            quiet.send(GET)
            assert (await read_answer(quiet)).endswith(b"hello")
            stage.gate.set()
            assert (await read_answer(held)).endswith(b"held")


@pytest.mark.asyncio
async def test_with_all_connections_in_use_new_ones_are_refused_and_this_machine_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = replace(LIMITS, total=6, per_address=3)
    ask = GET.replace(b"/", b"/held", 1)
    async with staged(limits) as stage:
        with closing_all([]) as clients:
            for number in range(6):
                clients.append(stage.connect(f"127.0.0.{2 + number % 3}", ask))
            await until(lambda: stage.site.open == 6)
            await until(lambda: stage.site._connections.waiting == 0)
            for number in range(40):
                refused = stage.connect(f"127.0.0.{10 + number}", GET)
                clients.append(refused)
                assert await read_all(refused) == b""
            assert await is_served(stage)
            assert stage.site.refused == 40
            lines = [
                one for one in caplog.records if one.name == "httpd" and "refused" in one.message
            ]
            assert len(lines) == 1
            assert "6 are open" in lines[0].message
            stage.gate.set()
            for client in clients[:6]:
                assert (await read_answer(client)).endswith(b"held")
            assert await is_served(stage, "127.0.0.60")
    assert RESERVE > 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "before",
    [
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nX",
    ],
)
@pytest.mark.parametrize("requests", [0, 2])
async def test_a_head_that_does_not_come_is_not_waited_for(before: bytes, requests: int) -> None:
    async with staged(replace(LIMITS, head_timeout_s=0.2)) as stage:
        client = stage.connect(STRANGER)
        with closing_all([client]):
            for _ in range(requests):
                client.send(GET)
                assert (await read_answer(client)).endswith(b"hello")
            client.send(before)
            assert await read_all(client) == b""
            await until(lambda: stage.site.open == 0)


@pytest.mark.asyncio
async def test_a_connection_without_a_byte_is_not_waited_for() -> None:
    async with staged(replace(LIMITS, head_timeout_s=0.2)) as stage:
        client = stage.connect(STRANGER)
        with closing_all([client]):
            assert await read_all(client) == b""


@pytest.mark.asyncio
async def test_a_head_that_comes_byte_by_byte_is_not_waited_for() -> None:
    async with staged(replace(LIMITS, head_timeout_s=0.3)) as stage:
        client = stage.connect(STRANGER, b"GET / HTTP/1.1\r\nX: ")
        with closing_all([client]), contextlib.suppress(ConnectionError):
            await until(lambda: stage.site.open == 1)
            async with asyncio.timeout(10):
                while stage.site.open:
                    client.send(b"x")
                    await asyncio.sleep(0.02)
        await until(lambda: stage.site.open == 0)


@pytest.mark.asyncio
async def test_between_requests_a_connection_may_rest_for_so_long() -> None:
    async with staged(replace(LIMITS, head_timeout_s=0.1, idle_timeout_s=0.6)) as stage:
        client = stage.connect(STRANGER, GET)
        with closing_all([client]):
            assert (await read_answer(client)).endswith(b"hello")
            await asyncio.sleep(0.3)  # longer than a head may take
            client.send(GET)
            assert (await read_answer(client)).endswith(b"hello")
            assert await read_all(client) == b""


@pytest.mark.asyncio
async def test_a_request_that_takes_long_is_not_ended() -> None:
    async with staged(replace(LIMITS, head_timeout_s=0.1, idle_timeout_s=0.1)) as stage:
        client = stage.connect(STRANGER, GET.replace(b"/", b"/held", 1))
        with closing_all([client]):
            await until(lambda: stage.site.open == 1 and stage.site._connections.waiting == 0)
            await asyncio.sleep(0.3)
            stage.gate.set()
            assert (await read_answer(client)).endswith(b"held")


@pytest.mark.asyncio
async def test_a_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("http_server.site.UNREAD_TIMEOUT_S", 0.5)

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(16_000_000))

    async with staged(LIMITS, {"/large": large}) as stage:
        client = stage.connect(STRANGER, GET.replace(b"/", b"/large", 1))
        with closing_all([client]):
            await until(lambda: stage.site.open == 1)
            await until(lambda: stage.site.open == 0)


# -- what is no HTTP ------------------------------------------------------------------------------

MALFORMED = [
    f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}\x01\x00\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}\r\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {SECRET}\r\n\r\n",
    f"GET /{SECRET} HTTP/1.1\r\nno colon {SECRET}\r\n\r\n",
    f"GET http://[{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n",
    f"{SECRET}\r\n\r\n",
    f"GET / HTTP/9.{SECRET}\r\n\r\n",
    f"GET / HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n",
    f"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nX: {SECRET}\r\n\r\n",
    f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /{SECRET} HTTP/1.1 x\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: a\r\n\r\nFOO \x1b[2J{SECRET} HTTP/1.1\r\n\r\n",
    f"\x16\x03\x01{SECRET}\r\n\r\n",
]
TOO_LONG = [
    f"GET / HTTP/1.1\r\nAuthorization: Bearer {SECRET}{'x' * 9_000}\r\n\r\n",
    f"GET /{SECRET}{'x' * 9_000} HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.asyncio
@pytest.mark.parametrize("sent", MALFORMED + TOO_LONG)
async def test_malformed_http_is_answered_and_logged_without_its_content(
    sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with staged(LIMITS) as stage:
        client = stage.connect(STRANGER, sent.encode("latin1"))
        with closing_all([client]):
            answer = await read_all(client)
        assert SECRET.encode() not in answer
        assert SECRET not in caplog.text
        assert "\x1b" not in caplog.text
        assert "Traceback" not in caplog.text
        assert stage.site.malformed == 1
        last = answer[answer.rindex(b"HTTP/1.") :]
        head, _, body = last.partition(b"\r\n\r\n")
        assert b"application/json" in head
        assert int(head.split()[1]) == (431 if sent in TOO_LONG else 400)
        assert set(json.loads(body)) == {"error", "code"}


@pytest.mark.asyncio
async def test_repeated_malformed_http_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with staged(LIMITS) as stage:
        for _ in range(100):
            client = stage.connect(STRANGER, b"GET / HTTP/1.1\r\nA : b\r\n\r\n")
            with closing_all([client]):
                assert b" 400 " in (await read_all(client))
        assert stage.site.malformed == 100
        assert (
            len([one for one in caplog.records if one.name == "httpd" and "HTTP" in one.message])
            == 1
        )


@pytest.mark.asyncio
async def test_a_head_without_end_is_not_kept() -> None:
    async with staged(LIMITS) as stage:
        client = stage.connect(STRANGER, b"GET / HTTP/1.1\r\n")
        with closing_all([client]), contextlib.suppress(ConnectionError):
            for number in range(100):
                line = f"X-{number}: {'y' * 4_000}\r\n".encode()
                async with asyncio.timeout(10):
                    await asyncio.get_running_loop().sock_sendall(client, line)
            assert await read_all(client) == b""
        await until(lambda: stage.site.open == 0)
        assert stage.site.malformed == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 404, "not_found"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n", 417, "expectation_failed"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        (b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", 500, "internal_error"),
        (b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", 504, "timeout"),
    ],
)
async def test_errors_below_any_middleware_are_json(sent: bytes, status: int, code: str) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("of ours")

    async def slow(_request: web.Request) -> web.Response:
        raise TimeoutError

    async with staged(LIMITS, {"/broken": broken, "/slow": slow}) as stage:
        client = stage.connect(
            STRANGER, sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        with closing_all([client]):
            answer = (await read_all(client)).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert json.loads(body)["code"] == code
        assert (b"\r\nAllow: GET,HEAD,POST" in head) == (status == 405)


# -- descriptors ----------------------------------------------------------------------------------


@contextlib.contextmanager
def descriptors(allowed: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def first_free() -> int:
    number = os.dup(0)
    os.close(number)
    return number


@pytest.mark.asyncio
async def test_without_descriptors_this_machine_is_still_served_and_the_log_says_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with staged(LIMITS) as stage:
        # They wait to be accepted: nothing runs before the next await.
        clients = [stage.connect(STRANGER, GET) for _ in range(3)]
        clients.append(stage.connect(OWN, GET))
        with closing_all(clients):
            with descriptors(first_free()):
                assert (await read_answer(clients[-1])).endswith(b"hello")
                lines = [one for one in caplog.records if "cannot accept" in one.message]
                assert len(lines) == 1
                assert "Too many open files" in lines[0].message
            assert await is_served(stage, STRANGER)


@pytest.mark.asyncio
async def test_without_descriptors_idle_connections_are_evicted() -> None:
    async with staged(LIMITS) as stage:
        with closing_all([stage.connect(STRANGER) for _ in range(5)]) as clients:
            await until(lambda: stage.site.open == 5)
            clients.append(stage.connect("127.0.0.3", GET))
            with descriptors(first_free()):
                assert (await read_answer(clients[-1])).endswith(b"hello")
            assert stage.site.evicted >= 1


@pytest.mark.asyncio
async def test_connections_take_half_of_the_descriptors_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    allowed = first_free() + 40
    with descriptors(allowed):
        async with staged(replace(LIMITS, total=100_000, per_address=50_000)) as stage:
            limits = stage.site.limits
            assert (limits.total, limits.per_address) == (allowed // 2, allowed // 4)
            assert f"{allowed} descriptors" in caplog.text
