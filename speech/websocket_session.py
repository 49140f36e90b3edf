"""Sessions over a WebSocket: one of its own, or one beside the WebRTC call that carries the audio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from realtime import struct as wire
from speech.send_queue import SendQueue, SlowClientError
from speech.session import Session
from speech.settings import Limits

_log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S: Final = 1.0

CreateSession = Callable[[SendQueue], Session]


class SharedSession(Protocol):
    """A session whose transport is another one, and that a WebSocket joins."""

    @property
    def session(self) -> Session:
        """The session."""
        ...

    def attach(
        self, send: Callable[[str], None], end: Callable[[], Awaitable[object]]
    ) -> Callable[[], None]:
        """Send each event to `send` too; `end` is called when the session ends. Returns the detaching."""
        ...


async def run_session(
    ws: web.WebSocketResponse,
    create: CreateSession,
    limits: Limits,
    settings: Sequence[wire.Session] = (),
) -> None:
    """Serve one client until it leaves, stops reading, or its time is over.

    settings: what the session begins with in place of the defaults
    """
    outbox = SendQueue(ws, limits)
    session = create(outbox)
    _log.info("session %s opened", session.id)
    session.start(settings)
    try:
        async with asyncio.timeout(limits.session_s):
            await _converse(ws, session, outbox)
    except TimeoutError:
        session.emit_expired()
        with contextlib.suppress(SlowClientError, ConnectionError):
            await outbox.flush()
        await _close(ws, WSCloseCode.GOING_AWAY, b"session_expired")
    finally:
        await session.close()
        _log.info("session %s closed", session.id)


async def run_sideband(ws: web.WebSocketResponse, call: SharedSession, limits: Limits) -> None:
    """Let a WebSocket read and steer the session of a call until either ends."""
    outbox = SendQueue(ws, limits)
    outbox.put(wire.serialize(call.session.created()))
    detach = call.attach(
        outbox.put, lambda: _close(ws, WSCloseCode.GOING_AWAY, b"the call has ended")
    )
    try:
        await _converse(ws, call.session, outbox)
    finally:
        detach()


async def _converse(ws: web.WebSocketResponse, session: Session, outbox: SendQueue) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(outbox.run(), name="outbox")
            await _receive(ws, session)
            sender.cancel()
    except* SlowClientError:
        _log.warning("session %s does not read what it is sent: closed", session.id)
        await _close(ws, WSCloseCode.POLICY_VIOLATION, b"client reads too slowly")
    except* ConnectionError:
        _log.info("session %s: connection lost", session.id)


async def _close(ws: web.WebSocketResponse, code: int, message: bytes) -> None:
    """Say goodbye, but do not wait long for one who does not listen."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await ws.close(code=code, message=message)


async def _receive(ws: web.WebSocketResponse, session: Session) -> None:
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await session.handle_text(message.data)
        elif message.type is WSMsgType.BINARY:
            session.emit_error("invalid_event", "Send JSON in text frames; audio goes as base64.")
