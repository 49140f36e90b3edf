"""Bodies as they come: packed, broken, too large, late, never."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import zlib

import pytest
from aiohttp import web

from http_server.bodies import BodyError, expect_continue, read_body
from tests.http_server.stage import Stage, read_all, read_answer, staged, until

MAX_BYTES = 10_000
pack = functools.partial(gzip.compress, mtime=0)
TEXT = b"some words " * 500
RAW = zlib.compressobj(wbits=-15)
DEFLATED_RAW = RAW.compress(TEXT) + RAW.flush()


async def echo(request: web.Request) -> web.Response:
    try:
        body = await read_body(request, max_bytes=MAX_BYTES, timeout_s=0.5)
    except BodyError as error:
        return web.json_response({"code": error.code, "error": str(error)}, status=error.status)
    return web.Response(body=body)


def post(body: bytes, **headers: str) -> bytes:
    lines = {"Host": "a", "Content-Length": str(len(body)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"POST /echo HTTP/1.1\r\n{head}\r\n".encode() + body


async def answer_to(stage: Stage, sent: bytes) -> tuple[int, bytes]:
    client = stage.connect(data=b"")
    try:
        await asyncio.get_running_loop().sock_sendall(client, sent)
        head, _, body = (await read_all(client)).partition(b"\r\n\r\n")
    finally:
        client.close()
    return int(head.split()[1]), body


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (pack(TEXT), "gzip"),
        (pack(TEXT), "X-GZIP"),
        (zlib.compress(TEXT), "deflate"),
        (DEFLATED_RAW, " Deflate "),
    ],
)
async def test_a_body_is_unpacked(body: bytes, encoding: str) -> None:
    async with staged(extra={"/echo": echo}) as stage:
        assert await answer_to(stage, post(body, Content_Encoding=encoding)) == (200, TEXT)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"\xff\xff", "gzip", 400, "bad_request"),
        (b"\xff\xff", "deflate", 400, "bad_request"),
        (b"{}", "gzip", 400, "bad_request"),
        (b"", "gzip", 400, "bad_request"),
        (pack(TEXT)[:-9], "gzip", 400, "bad_request"),
        (pack(TEXT)[:-8] + bytes(8), "gzip", 400, "bad_request"),
        (pack(TEXT) + b"more", "gzip", 400, "bad_request"),
        (b"\xff\xff", "br", 415, "unsupported_encoding"),
        (b"{}", "zstd", 415, "unsupported_encoding"),
        (pack(TEXT), "gzip, gzip", 415, "unsupported_encoding"),
        (b"{}", "aes128gcm", 415, "unsupported_encoding"),
        # Ten kilobytes that become ten megabytes.
        (pack(bytes(10_000_000)), "gzip", 413, "too_large"),
        (zlib.compress(bytes(10_000_000)), "deflate", 413, "too_large"),
        (bytes(MAX_BYTES + 1), "", 413, "too_large"),
    ],
)
async def test_a_body_that_is_not_what_its_headers_say_is_refused(
    body: bytes, encoding: str, status: int, code: str
) -> None:
    async with staged(extra={"/echo": echo}) as stage:
        answered, answer = await answer_to(stage, post(body, Content_Encoding=encoding))
        assert (answered, json.loads(answer)["code"]) == (status, code)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        (b"3\r\nabc\r\n0\r\n\r\n", 200),
        (b"ZZ\r\nabc\r\n0\r\n\r\n", 400),
        (b"3\r\nabcdef\r\n0\r\n\r\n", 400),
        (b"-3\r\nabc\r\n", 400),
        (b"4e20\r\n" + bytes(20_000) + b"\r\n0\r\n\r\n", 413),
        (b"3\r\nab", 408),
    ],
)
async def test_chunks_are_checked(chunks: bytes, status: int) -> None:
    head = post(b"", Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    async with staged(extra={"/echo": echo}) as stage:
        assert (await answer_to(stage, head + chunks))[0] == status


@pytest.mark.asyncio
async def test_a_client_that_leaves_before_its_body_is_whole_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reading = asyncio.Event()

    async def note(request: web.Request) -> web.Response:
        reading.set()
        return await echo(request)

    async with staged(extra={"/echo": note}) as stage:
        client = stage.connect(data=post(b"abc").replace(b"Length: 3", b"Length: 30"))
        await reading.wait()
        client.close()
        await until(lambda: stage.site.open == 0)
    assert not [one for one in caplog.records if one.name != "asyncio"]


@pytest.mark.asyncio
async def test_continue_is_sent_once_the_body_is_wanted() -> None:
    is_wanted = False

    async def handle(request: web.Request) -> web.Response:
        return await echo(request) if is_wanted else web.Response(status=401)

    async with staged(extra={"/echo": handle}, expect_handler=expect_continue) as stage:
        for is_wanted in (False, True):
            client = stage.connect(data=post(b"abc", Expect="100-continue")[:-3])
            try:
                first = await read_answer(client)
                if not is_wanted:
                    assert first.startswith(b"HTTP/1.1 401")
                    continue
                assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
                client.send(b"abc")
                assert (await read_all(client)).endswith(b"\r\n\r\nabc")
            finally:
                client.close()
