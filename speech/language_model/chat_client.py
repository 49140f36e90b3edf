"""HTTP to a chat-completions server, by the official client, which is imported on first use.

The client sends requests and holds connections. The answer is read here: the client's own reader ends
a reply at the first malformed line, and knows no bound.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from proxies import outbound_proxy
from speech.language_model.chunks import Chunk, InvalidChunkError, read_chunk, read_error
from speech.language_model.event_stream import (
    DONE,
    MAX_EVENT_BYTES,
    EventStreamDecoder,
    EventTooLongError,
)
from speech.language_model.failures import (
    Failure,
    RequestFailedError,
    connection_failure,
    status_failure,
    stream_failure,
)
from speech.options import LanguageModelOptions

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

_log = logging.getLogger(__name__)

_MAX_REFUSAL_BYTES: Final = 64 * 1024
_MAX_INVALID_CHUNKS: Final = 10
_CONNECT_TIMEOUT_S: Final = 5.0
_DRAIN_S: Final = 0.1
_IDLE_S: Final = 60.0
_OWN_HEADERS: Final = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-length"),
        *("content-type", "host", "transfer-encoding", "user-agent"),
    }
)


class ChatClient:
    """Connections to one server, shared by all requests; opened by the first one."""

    def __init__(self, options: LanguageModelOptions) -> None:
        self._options = options
        self._openai: AsyncOpenAI | None = None
        self._opening = asyncio.Lock()
        self._uses = 0
        self._is_closing = False

    async def chunks(self, fields: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Send a request and yield its chunks; closing the generator closes the HTTP stream.

        Raises:
            RequestFailedError: no answer, a refusal, or an answer that breaks off.
        """
        self._uses += 1
        try:
            client = await self._open()
            async with aclosing(_chunks(client, self._options, fields)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except RequestFailedError:
            raise
        except Exception as error:
            # The client and what is below it may raise anything; the caller hears of it at least.
            _log.exception("%s: request failed", self._options.model)
            failure = Failure("unavailable", f"the client failed ({type(error).__name__})")
            raise RequestFailedError(failure) from error
        finally:
            self._uses -= 1
            if self._is_closing and not self._uses:
                await self.close()

    async def _open(self) -> AsyncOpenAI:
        """Return the client, made in a thread: its import takes a second, and calls go on."""
        async with self._opening:
            if self._openai is None:
                self._openai = await asyncio.to_thread(_open_client, self._options)
            return self._openai

    async def close(self) -> None:
        """Close connections: now, or with the last request under way. Later ones open new ones."""
        self._is_closing = self._uses > 0
        if not self._uses and self._openai is not None:
            client, self._openai = self._openai, None
            await client.close()


def import_client() -> None:
    """Import what the first request needs: a second of work."""
    import openai  # noqa: F401


def _open_client(options: LanguageModelOptions) -> AsyncOpenAI:
    import httpx2
    from openai import AsyncOpenAI

    own = {name: value.get_secret_value() for name, value in options.headers.items()}
    key = options.api_key
    allowed = _OWN_HEADERS | {name.casefold() for name in own}
    allowed |= set() if key is None else {"authorization"}

    async def keep_own_headers(request: httpx2.Request) -> None:
        """Drop what the client adds of this machine and its environment."""
        for name in [name for name in request.headers if name.casefold() not in allowed]:
            del request.headers[name]

    proxy = outbound_proxy(options.base_url)
    http = httpx2.AsyncClient(
        trust_env=False,
        proxy=None if proxy is None else str(proxy),
        verify=_tls(options.base_url),
        follow_redirects=False,
        # Deadlines are those of the reply, kept by the caller.
        timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S),
        limits=httpx2.Limits(max_connections=None, keepalive_expiry=_IDLE_S),
        event_hooks={"request": [keep_own_headers], "response": [_refuse]},
    )
    return AsyncOpenAI(
        base_url=options.base_url,
        api_key="none" if key is None else key.get_secret_value(),
        default_headers={"User-Agent": "Parley", **own},
        max_retries=0,
        http_client=http,
    )


def _tls(base_url: str) -> ssl.SSLContext:
    """Return the context of a client; without https one that trusts nobody, which loads at once."""
    if base_url.startswith("https:"):
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _refuse(response: httpx2.Response) -> None:
    """Read a refusal, of which the client's own reader would take any length."""
    if response.status_code == 200:
        return
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) >= _MAX_REFUSAL_BYTES:
            break
    details = bytes(data[:_MAX_REFUSAL_BYTES]).decode(errors="replace")
    headers = {name.casefold(): value for name, value in response.headers.items()}
    message = _refusal_message(details)
    raise RequestFailedError(status_failure(response.status_code, headers, details, message))


def _refusal_message(details: str) -> str:
    """Return the server's words; pages of proxies have none worth a line."""
    try:
        body = json.loads(details)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    return read_error(body.get("error") or body).message


async def _chunks(
    client: AsyncOpenAI, options: LanguageModelOptions, fields: Mapping[str, Any]
) -> AsyncGenerator[Chunk, None]:
    import httpx2
    from openai import APIConnectionError

    body = {**options.extra_body, **fields}
    try:
        stream = await client.chat.completions.create(
            model=options.model, messages=[], stream=True, extra_body=body
        )
        async with stream, aclosing(_read(stream.response)) as chunks:
            async for chunk in chunks:
                yield chunk
    except (APIConnectionError, httpx2.HTTPError) as error:
        raise RequestFailedError(connection_failure(error)) from error


def _read(response: httpx2.Response) -> AsyncGenerator[Chunk, None]:
    content_type = response.headers.get("content-type", "")
    if "html" in content_type:
        raise RequestFailedError(Failure("invalid", "the answer is a web page"))
    data = response.aiter_bytes()
    return _whole(data) if "json" in content_type else _streamed(data)


async def _streamed(data: AsyncIterator[bytes]) -> AsyncGenerator[Chunk, None]:
    """Read server-sent events until `[DONE]` or the end."""
    decoder, count = EventStreamDecoder(), _ChunkCount()
    try:
        async for piece in data:
            for event in decoder.push(piece):
                if event.strip() == DONE:
                    count.check()
                    await _drain(data)
                    return
                if (chunk := count.read(event)) is not None:
                    yield chunk
        for event in decoder.flush():
            if event.strip() != DONE and (chunk := count.read(event)) is not None:
                yield chunk
    except EventTooLongError as error:
        raise RequestFailedError(Failure("invalid", f"the stream has {error}")) from error
    count.check()


async def _drain(data: AsyncIterator[bytes]) -> None:
    """Read the end of the body, so that the connection serves the next request too."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in data:
                pass
    except TimeoutError:
        pass


class _ChunkCount:
    """Reads chunks; a few that are malformed are skipped, since the others have the reply."""

    def __init__(self) -> None:
        self._valid = 0
        self._invalid = 0

    def read(self, event: str) -> Chunk | None:
        try:
            chunk = read_chunk(event)
        except InvalidChunkError as error:
            self._invalid += 1
            _log.debug("skipped %s", error)
            if self._invalid > _MAX_INVALID_CHUNKS:
                raise RequestFailedError(Failure("invalid", f"the stream has {error}")) from error
            return None
        if chunk.error is not None:
            raise RequestFailedError(stream_failure(chunk.error))
        self._valid += 1
        return chunk

    def check(self) -> None:
        """Raise: RequestFailedError when there was nothing but malformed chunks."""
        if self._invalid and not self._valid:
            raise RequestFailedError(Failure("invalid", "the stream has no valid chunk"))


async def _whole(data: AsyncIterator[bytes]) -> AsyncGenerator[Chunk, None]:
    """Read the answer of a server that does not stream."""
    body = bytearray()
    async for piece in data:
        body += piece
        if len(body) > MAX_EVENT_BYTES:
            failure = Failure("invalid", f"the answer has more than {MAX_EVENT_BYTES} bytes")
            raise RequestFailedError(failure)
    count = _ChunkCount()
    chunk = count.read(bytes(body).decode(errors="replace"))
    count.check()
    if chunk is not None:
        yield chunk
