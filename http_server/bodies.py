"""Request bodies: read within limits of size and time, decompressed within the same size."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_ZLIB: Final = zlib.MAX_WBITS | 32  # of gzip and deflate, whichever it is


class BodyError(Exception):
    """A body that cannot be read. status: HTTP status; code: for programs; the text repeats no input."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ClientGoneError(ConnectionError):
    """The client disconnected before its body was complete; no answer is possible."""


async def expect_continue(_request: web.Request) -> None:
    """Do nothing (`expect_handler` of routes): `read_body` sends `100 Continue` once the body is
    wanted.
    """


async def read_body(request: web.Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """Read the whole body, decompressed.

    Raises:
        BodyError: 413 over `max_bytes`, 408 over `timeout_s`, 415 unknown encoding, 400 the body does
            not match its headers.
        ClientGoneError: the client disconnected.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if encoding not in ("", "identity") and encoding not in _PACKED:
        text = "Content-Encoding: only gzip and deflate are supported"
        raise BodyError(415, "unsupported_encoding", text)
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            body = await _read(request, max_bytes)
    except TimeoutError as error:
        text = f"the body did not arrive within {timeout_s:g} s"
        raise BodyError(408, "body_timeout", text) from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        text = "the body does not match its headers"
        raise BodyError(400, "bad_request", text) from error
    except ConnectionError as error:
        raise ClientGoneError("the client disconnected before its body was complete") from error
    return _unpack(body, max_bytes) if encoding in _PACKED else body


async def _read(request: web.Request, max_bytes: int) -> bytes:
    if hdrs.EXPECT in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # counts the answer, which has not begun
    parts: list[bytes] = []
    size_bytes = 0
    while part := await request.content.readany():
        size_bytes += len(part)
        if size_bytes > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
    return b"".join(parts)


def _unpack(body: bytes, max_bytes: int) -> bytes:
    for window_bits in (_ANY_ZLIB, -zlib.MAX_WBITS):  # some clients send raw deflate
        unpacker = zlib.decompressobj(window_bits)
        try:
            content = unpacker.decompress(body, max_bytes + 1)
        except zlib.error:
            continue
        if len(content) > max_bytes:
            raise _too_large(max_bytes)
        if unpacker.eof and not unpacker.unused_data:
            return content
        break
    raise BodyError(400, "bad_request", "the body does not match Content-Encoding")


def _too_large(max_bytes: int) -> BodyError:
    return BodyError(413, "too_large", f"the body is larger than {max_bytes // 1024} KiB")
