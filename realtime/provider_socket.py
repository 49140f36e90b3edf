"""`ProviderSocket`: a WebSocket to a provider of any protocol, from handshake to known end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import yarl

from proxies import outbound_proxy, proxy_name
from realtime.api_keys import resolve_key
from realtime.close_reason import CLOSED_BY_US, CloseReason, read_close, read_violation
from realtime.connect_errors import RedirectedError, explain
from realtime.model import ApiKey, ModelConnectError, ModelDisconnectedError
from utils import shorten

MAX_FRAME_BYTES = 32 * 1024 * 1024
HEARTBEAT_S = 6.0
"""A ping after this long without a frame; half of it later a silent peer counts as gone. Together
less than the sent audio that is kept to be sent again (`audio_backlog.KEPT_SENT_S`)."""

CLOSE_TIMEOUT_S = 1.0

_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Address:
    """URL to connect to, and the request headers."""

    url: yarl.URL
    headers: Mapping[str, str]


class ProviderSocket:
    """Connects once, sends and receives in order, closes once."""

    def __init__(
        self,
        base_uri: str,
        *,
        read_close_reason: Callable[[int | None, str, str], CloseReason] = read_close,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """
        base_uri: what errors name
        read_close_reason: what a close code, its text and the name of a network error mean
        ssl_context: whom to trust; None: what the machine trusts
        """
        self._base_uri = base_uri
        self._read_close_reason = read_close_reason
        self._ssl = True if ssl_context is None else ssl_context
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._phase = "getting the key"
        self._proxy: str | None = None
        self._is_closed = False
        self._close_reason: CloseReason | None = None

    @property
    def close_reason(self) -> CloseReason | None:
        """The reason for the end of the connection; None while it is open."""
        return self._close_reason

    @property
    def end_reason(self) -> str:
        """The same in words; empty while it is there."""
        return self._close_reason.reason if self._close_reason is not None else ""

    async def connect(
        self, api_key: ApiKey, address: Callable[[str | None], Address], *, timeout_s: float
    ) -> None:
        """Open the socket.

        address: says for a key where to go; a ValueError of it means that the base URI is wrong

        Raises:
            ModelConnectError: saying why; nothing is left open.
        """
        self._http = aiohttp.ClientSession(
            trace_configs=[self._phases()], middlewares=(_refuse_redirects,)
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self._open(self._http, address(await resolve_key(api_key)))
        except (aiohttp.ClientError, OSError, ValueError, RedirectedError) as error:
            await self.close()
            where = host_of(self._base_uri)
            # Nothing of the library's own chain of errors says more than this line does.
            raise explain(error, where=where, proxy=self._proxy, phase=self._phase) from None
        except BaseException:
            await self.close()
            raise
        if self._is_closed:
            await self.close()
            raise ModelConnectError("closed while connecting", code="closed", is_retryable=False)

    async def _open(self, http: aiohttp.ClientSession, address: Address) -> None:
        url = address.url
        proxy = outbound_proxy(url)
        self._proxy = None if proxy is None else proxy_name(proxy)
        if url.scheme in _HTTP_SCHEMES:
            # By this name a proxy of HTTP knows what is asked of it.
            url = url.with_scheme(_HTTP_SCHEMES[url.scheme])
        self._socket = await http.ws_connect(
            url,
            headers=address.headers,
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_FRAME_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            ssl=self._ssl,
            proxy=proxy,
        )
        self._phase = "opening the session"

    @property
    def phase(self) -> str:
        """The phase of connecting that is under way."""
        return self._phase

    def _phases(self) -> aiohttp.TraceConfig:
        """Return a trace that records the phase of the handshake, for errors that do not name it."""

        def entering(phase: str) -> Any:
            async def enter(_http: aiohttp.ClientSession, _: SimpleNamespace, __: Any) -> None:
                self._phase = phase

            return enter

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(entering("connecting"))
        trace.on_dns_resolvehost_start.append(entering("looking up the name"))
        trace.on_dns_resolvehost_end.append(entering("connecting"))
        trace.on_connection_create_end.append(entering("waiting for the handshake's answer"))
        return trace

    async def send(self, text: str) -> None:
        """Send one message; waits while the peer is slower than we are.

        Raises:
            ModelDisconnectedError: the connection is gone.
        """
        self.require_open()
        assert self._socket is not None
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self._disconnected() from error

    def require_open(self) -> None:
        """Fail if nothing can be sent.

        Raises:
            ModelDisconnectedError: the connection is gone.
        """
        if self._socket is None or self._socket.closed:
            raise self._disconnected()

    def _disconnected(self) -> ModelDisconnectedError:
        reason = self.end_reason or "the connection is closed"
        return ModelDisconnectedError(reason, code="disconnected", is_retryable=True)

    async def receive(self) -> str | bytes | None:
        """The next message, text or binary; None once the connection is gone."""
        if self._socket is None:
            return None
        frame = await self._socket.receive()
        if frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = frame.data
            return data
        self._close_reason = self._close_reason or self._close_reason_of(self._socket, frame)
        await self.close()
        return None

    def _close_reason_of(
        self, socket: aiohttp.ClientWebSocketResponse, frame: aiohttp.WSMessage
    ) -> CloseReason:
        error = socket.exception()
        if isinstance(frame.data, aiohttp.WebSocketError):
            # The close code is our own: the socket was closed over a bad frame, not refused.
            return read_violation(frame.data.code)
        return self._read_close_reason(
            socket.close_code,
            str(frame.extra or "") if frame.type is aiohttp.WSMsgType.CLOSE else "",
            "" if error is None else type(error).__name__,
        )

    def expect_end(self) -> None:
        """Attribute every close from now on to this side, whichever side closes first."""
        self._close_reason = self._close_reason or CLOSED_BY_US

    async def close(self) -> None:
        """Close socket and HTTP session; safe at any time and again."""
        self._is_closed = True
        self.expect_end()
        socket, http = self._socket, self._http
        try:
            if socket is not None and not socket.closed:
                await socket.close()
        finally:
            if http is not None:
                await http.close()


def host_of(uri: str) -> str:
    """Host and port, without a password that the address may hold."""
    try:
        url = yarl.URL(uri)
    except ValueError:
        return "the provider's address"
    return f"{url.host}:{url.port}" if url.host else "the provider's address"


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Never go where an answer points: the key would go along, in a header of the provider's own."""
    response = await handler(request)
    if not 300 <= response.status < 400:
        return response
    target = response.headers.get("Location", "")
    response.close()
    raise RedirectedError(_origin(request.url, target))


def _origin(url: yarl.URL, target: str) -> str:
    try:
        return str(shorten(str(url.join(yarl.URL(target)).origin())))
    except ValueError:
        return "no address"
