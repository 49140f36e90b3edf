"""`RealtimeApiConnection`: one WebSocket that carries OpenAI's Realtime messages."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections import deque
from collections.abc import Mapping

import aiohttp
import yarl

from realtime import struct as wire
from realtime.codec import Codec, GaCodec, ServerMessage
from realtime.ending import CLOSED_BY_US, Ending, read_close
from realtime.endpoint import Endpoint
from realtime.model import ApiKey, ModelConnectError, ModelDisconnectedError
from utils import shorten

MAX_FRAME_BYTES = 32 * 1024 * 1024
HEARTBEAT_S = 15.0
"""A ping after this long without a frame; half of it later a silent peer counts as gone."""

CLOSE_TIMEOUT_S = 1.0

_MAX_UNKNOWN_TYPES = 64

_HTTP_CODES: dict[int, tuple[str, bool]] = {
    401: ("invalid_api_key", False),
    403: ("invalid_api_key", False),
    404: ("model_not_found", False),
    429: ("rate_limited", True),
}

_log = logging.getLogger("realtime")

_OPENAI_ENDPOINT = Endpoint()
_GA_CODEC = GaCodec()


class RealtimeApiConnection:
    """Connects once, sends and receives in order, closes once. Iterating ends when it is gone.

    A frame that breaks the protocol comes out as an `ErrorEvent` with code `malformed_event`, so
    that one bad frame never ends a call.
    """

    def __init__(
        self,
        base_uri: str,
        model: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        endpoint: Endpoint = _OPENAI_ENDPOINT,
        codec: Codec = _GA_CODEC,
        is_verbose: bool = False,
    ) -> None:
        """
        base_uri: scheme, host and port (`wss://api.openai.com`)
        headers, query: sent besides what `endpoint` says
        is_verbose: log each message at DEBUG, long fields cut
        """
        self._base_uri = base_uri
        self._model = model
        self._headers = dict(headers or {})
        self._query = dict(query or {})
        self._endpoint = endpoint
        self._codec = codec
        # A frame of another dialect may be several messages of ours.
        self._ready: deque[ServerMessage] = deque()
        self._is_verbose = is_verbose and _log.isEnabledFor(logging.DEBUG)
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._is_closed = False
        self._unknown_types: set[str] = set()
        self._ending: Ending | None = None

    @property
    def ending(self) -> Ending | None:
        """Why the connection is gone; None while it is there."""
        return self._ending

    @property
    def end_reason(self) -> str:
        """The same in words; empty while it is there."""
        return self._ending.reason if self._ending is not None else ""

    async def connect(self, api_key: ApiKey = None, *, timeout_s: float = 10.0) -> None:
        """Open the socket.

        Raises:
            ModelConnectError: saying why; nothing is left open.
        """
        self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(timeout_s):
                await self._open(await _resolve(api_key))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            await self.close()
            raise self._explain(error) from error
        except BaseException:
            await self.close()
            raise
        if self._is_closed:
            await self.close()
            raise ModelConnectError("closed while connecting", code="closed", is_retryable=False)

    async def _open(self, api_key: str | None) -> None:
        assert self._http is not None
        headers = dict(self._headers)
        if api_key is not None:
            headers |= self._endpoint.authorize(api_key)
        url = self._endpoint.url(self._base_uri, self._model, self._query)
        self._socket = await self._http.ws_connect(
            url,
            headers=headers,
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_FRAME_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
        )

    def _explain(self, error: Exception) -> ModelConnectError:
        where = _host(self._base_uri)
        match error:
            case aiohttp.WSServerHandshakeError():
                code, is_retryable = _HTTP_CODES.get(
                    error.status, ("handshake_failed", error.status >= 500)
                )
                text = f"{where} refused the connection with HTTP status {error.status}"
            case aiohttp.ClientConnectorCertificateError():
                code, is_retryable = "untrusted_certificate", False
                text = f"the certificate of {where} is not trusted"
            case TimeoutError():
                code, is_retryable = "timeout", True
                text = f"{where} did not answer in time"
            case aiohttp.InvalidURL() | ValueError():
                code, is_retryable = "invalid_uri", False
                text = f"{where} is not a usable address, or a header is malformed"
            case _:
                code, is_retryable = "unreachable", True
                text = f"{where} cannot be reached"
        return ModelConnectError(text, code=code, is_retryable=is_retryable)

    async def send(self, message: wire.ClientMessage) -> None:
        """Send one message; waits while the peer is slower than we are.

        Raises:
            ModelDisconnectedError: the connection is gone.
        """
        if self._socket is None or self._socket.closed:
            raise self._disconnected()
        if (text := self._codec.encode(message)) is None:
            return
        if self._is_verbose:
            _log.debug("-> %s", shorten(json.loads(text)))
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self._disconnected() from error

    def _disconnected(self) -> ModelDisconnectedError:
        reason = self.end_reason or "the connection is closed"
        return ModelDisconnectedError(reason, code="disconnected", is_retryable=True)

    def __aiter__(self) -> RealtimeApiConnection:
        return self

    async def __anext__(self) -> ServerMessage:
        """The next message, as soon as there is one."""
        if self._socket is None:
            raise StopAsyncIteration
        while not self._ready:
            frame = await self._socket.receive()
            if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self._ending = self._ending or _ending_of(self._socket, frame)
                await self.close()
                raise StopAsyncIteration
            self._ready += self._parse(frame.data)
        return self._ready.popleft()

    def _parse(self, text: str | bytes) -> list[ServerMessage]:
        try:
            messages = self._codec.decode(text)
        except wire.InvalidEventError as error:
            _log.warning("the provider sent a malformed event: %s", error)
            details = wire.ErrorDetails(
                type="protocol_error", code="malformed_event", message=str(error)
            )
            return [wire.ErrorEvent(error=details)]
        if self._is_verbose:
            _log.debug("<- %s", shorten(json.loads(text)))
        for message in messages:
            if isinstance(message, wire.UnknownEvent):
                self._note_unknown(message.type)
        return messages

    def _note_unknown(self, event_type: str) -> None:
        is_news = event_type not in self._unknown_types
        if is_news and len(self._unknown_types) < _MAX_UNKNOWN_TYPES:
            self._unknown_types.add(event_type)
            _log.info("the provider sent an event of unknown type %s", shorten(event_type))

    async def close(self) -> None:
        """Close socket and HTTP session; safe at any time and again."""
        self._is_closed = True
        self._ending = self._ending or CLOSED_BY_US
        socket, http = self._socket, self._http
        try:
            if socket is not None and not socket.closed:
                await socket.close()
        finally:
            if http is not None:
                await http.close()


def _ending_of(socket: aiohttp.ClientWebSocketResponse, frame: aiohttp.WSMessage) -> Ending:
    error = socket.exception()
    return read_close(
        socket.close_code,
        str(frame.extra or "") if frame.type is aiohttp.WSMsgType.CLOSE else "",
        "" if error is None else type(error).__name__,
    )


def _host(uri: str) -> str:
    """Host and port, without a password that the address may hold."""
    try:
        url = yarl.URL(uri)
    except ValueError:
        return "the provider's address"
    return f"{url.host}:{url.port}" if url.host else "the provider's address"


async def _resolve(api_key: ApiKey) -> str | None:
    if not callable(api_key):
        return api_key
    try:
        key = api_key()
        return await key if inspect.isawaitable(key) else key
    except ModelConnectError:
        raise
    except Exception as error:
        text = f"the function that gives the key failed ({type(error).__name__})"
        raise ModelConnectError(text, code="no_api_key", is_retryable=True) from error
