"""`ConnectionHandler`: aiohttp's HTTP protocol with deadlines, and with errors that repeat no input."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from http_server.connections import ConnectionLimits
from http_server.errors import error_response, of_http_exception

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_server import Server

_LINGERING_S: Final = 2.0
"""Time that the rest of an unwanted body is still read, so that its sender sees the answer."""

_CONTINUE: Final = "100-continue"

MAX_HEAD_BYTES: Final = 32 * 1024
"""Limit on all headers of one request together."""

_log = logging.getLogger("httpd")

_Handle = Callable[["BaseRequest"], Awaitable[web.StreamResponse]]


class ConnectionOwner(Protocol):
    """Keeper of the connection counts."""

    limits: ConnectionLimits

    def use(self, connection: ConnectionHandler) -> None:
        """The connection has a complete request."""

    def rest(self, connection: ConnectionHandler) -> None:
        """The connection's request is answered."""

    def leave(self, connection: ConnectionHandler) -> None:
        """The connection is closed."""

    def note_malformed(self, kind: str) -> None:
        """The connection sent malformed HTTP. kind: class name of the error."""


class _State(Enum):
    HEAD = auto()
    IDLE = auto()
    BUSY = auto()


class ConnectionHandler(web.RequestHandler):
    """One connection, with deadlines for the head of a request and for the next request.

    Bodies stay compressed here: `bodies.read_body` decompresses them after authentication.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_head_bytes",
        "_is_ended",
        "_lower",
        "_owner",
        "_state",
        "_timer",
    )

    def __init__(self, manager: Server, owner: ConnectionOwner) -> None:
        options: dict[str, Any] = {"access_log": None}
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            auto_decompress=False,
            lingering_time=_LINGERING_S,
            **options,
        )
        self._owner = owner
        self._state = _State.HEAD
        self._is_ended = False
        self._head_bytes = 0
        self._begun = 0
        self._body: StreamReader | None = None
        self._lower: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Close without waiting for anything that is still to be sent. Idempotent."""
        self._is_ended = True
        self._disarm()
        if self._lower is not None:
            self._lower.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._lower = transport
        # Evicted or closed in the meantime.
        if self._is_ended or transport.get_extra_info("peername") is None:
            transport.abort()
            return
        super().connection_made(transport)
        self._arm(self._owner.limits.head_timeout_s)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release the connection's place and timers."""
        self._disarm()
        self._lower = None
        self._owner.leave(self)
        if self._state is not _State.BUSY and self._body is not None and self._is_in_body():
            self._body.feed_eof()  # otherwise the handler would wait for the rest
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle received bytes of a head, a body or an upgraded socket."""
        if self._state is _State.IDLE and data and not self._is_in_body():
            self._state = _State.HEAD
            self._arm(self._owner.limits.head_timeout_s)
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - a parser of foreign bytes may raise anything
            self._owner.note_malformed(type(error).__name__)
            self.end()
        # Bytes after a head that is not handled yet belong to its body.
        if self._state is _State.HEAD and self._request_count == self._begun:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._owner.note_malformed("LineTooLong")
                self.end()

    def _is_in_body(self) -> bool:
        """Return true if the rest of an unread body is still arriving."""
        return self._body is not None and not self._body.is_eof()

    async def _handle_request(
        self, request: BaseRequest, start_time: float | None, request_handler: _Handle
    ) -> tuple[web.StreamResponse, bool]:
        self._state = _State.BUSY
        self._head_bytes = 0
        self._begun += 1
        self._body = request.content
        self._disarm()
        self._owner.use(self)
        try:
            return await super()._handle_request(request, start_time, _in_json(request_handler))
        finally:
            self._state = _State.IDLE
            self._owner.rest(self)
            if self._lower is not None and not self._is_ended:
                self._arm(self._owner.limits.idle_timeout_s)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - repeats input
    ) -> web.StreamResponse:
        """Answer malformed HTTP and failures that no middleware caught. Neither the answer nor the log
        repeats input: it may be a secret, or forge log lines.
        """
        if isinstance(exc, ConnectionError):
            raise exc  # no client is left to answer
        if isinstance(exc, HttpProcessingError):
            self._owner.note_malformed(type(exc).__name__)
            status = 431 if isinstance(exc, LineTooLong) else 400
        elif exc is not None:
            _log.error("a request failed: %s", type(exc).__name__, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        response = error_response(status)
        response.force_close()
        return response

    def _arm(self, timeout_s: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self.end)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _in_json(handle: _Handle) -> _Handle:
    async def answer(request: BaseRequest) -> web.StreamResponse:
        # Checked before aiohttp does, whose error repeats the header.
        if request.headers.get(hdrs.EXPECT, _CONTINUE).strip().lower() != _CONTINUE:
            return error_response(417)
        try:
            return await handle(request)
        except web.HTTPException as error:
            # Raised by the router or for `Expect`, before any middleware.
            return error if error.status < 400 else of_http_exception(error)

    return answer
