"""The local model server: `GET /v1/realtime` speaks the OpenAI Realtime protocol, `GET /healthz`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import WSCloseCode, WSMsgType, web

from realtime import struct as wire
from speech.errors import SpeechError
from speech.outbox import Outbox, SlowClientError
from speech.session import Session
from speech.settings import SpeechSettings
from speech.workers import Engines, Workers, load_engines
from utils import OwnedTasks, is_loopback, run_unless

__all__ = ["ModelServer", "SpeechError", "run_model_server"]

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 1.0
_BETA_CLOSE_CODE = 4000


class ModelServer:
    """All sessions of this process and the engines they share."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._workers: Workers | None = None
        self._loaded = asyncio.Event()
        self._sessions: set[web.WebSocketResponse] = set()
        self._is_closing = False

    @property
    def is_ready(self) -> bool:
        """Whether the models are loaded."""
        return self._loaded.is_set()

    def use(self, engines: Engines) -> None:
        """Serve with these engines from now on."""
        self._workers = Workers(engines, threads=self._settings.worker_threads)
        self._loaded.set()

    async def load(self) -> None:
        """Load the engines in a thread of its own.

        Raises:
            SpeechError: in one line, why that is impossible here.
        """
        pool = ThreadPoolExecutor(1, thread_name_prefix="load")
        try:
            loop = asyncio.get_running_loop()
            self.use(await loop.run_in_executor(pool, load_engines, self._settings))
        except SpeechError:
            raise
        except (MemoryError, OSError, RuntimeError) as error:
            # What the libraries under the engines say when memory or threads are short.
            log.debug("the models cannot be loaded", exc_info=error)
            reason = (str(error).splitlines() or [""])[0][:200]
            text = f"the models cannot be loaded ({type(error).__name__}: {reason})"
            raise SpeechError(f"{text}; is there memory and are there threads for them?") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        log.info("models loaded")

    async def close(self) -> None:
        """End every session with a goodbye; then free the engines."""
        self._is_closing = True
        closing = [
            socket.close(code=WSCloseCode.GOING_AWAY, message=b"server stops")
            for socket in list(self._sessions)
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.gather(*closing, return_exceptions=True)
        if self._workers is not None:
            self._workers.close()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/healthz", self._handle_health)
        for path in ("/v1/realtime", "/openai/v1/realtime"):
            app.router.add_get(path, self._handle_realtime)
        return app

    async def _handle_health(self, _request: web.Request) -> web.Response:
        status = 200 if self.is_ready else 503
        body = {"status": "ok" if self.is_ready else "loading", "sessions": len(self._sessions)}
        return web.json_response(body, status=status)

    async def _handle_realtime(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        ws = web.WebSocketResponse(
            max_msg_size=self._settings.limits.frame_bytes, heartbeat=20.0, timeout=1.0
        )
        self._sessions.add(ws)
        try:
            await ws.prepare(request)
            await self._serve(ws, request)
        finally:
            self._sessions.discard(ws)
            if not ws.closed and request.transport is not None:
                request.transport.abort()  # it took no goodbye in time
        return ws

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why this request cannot become a session, if it cannot."""
        if self._is_of_foreign_page(request):
            return _error(403, "foreign_page", "Pages of other sites may not use this server.")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return _error(426, "websocket_required", "Connect with a WebSocket.")
        if "model" not in request.query:
            return _error(400, "missing_model", "Name a model: /v1/realtime?model=parley-local")
        if self._is_closing:
            return _error(503, "stopping", "The server is stopping.")
        if len(self._sessions) >= self._settings.limits.sessions:
            limit = self._settings.limits.sessions
            return _error(503, "too_many_sessions", f"At most {limit} sessions at once.")
        return None

    def _is_of_foreign_page(self, request: web.Request) -> bool:
        """A page in a browser of this machine reaches loopback too: by its own name that it lets
        point here (then `Host` is that), or across sites (then `Origin` is its site).
        """
        origin = request.headers.get("Origin")
        if origin is not None and not is_loopback(origin.partition("//")[2]):
            return True
        return is_loopback(self._settings.host) and not is_loopback(request.host)

    async def _serve(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        if "realtime=v1" in request.headers.get("OpenAI-Beta", ""):
            code = "beta_api_shape_disabled"
            message = "The beta protocol is gone: connect without the OpenAI-Beta header."
            await ws.send_str(_error_frame(code, message))
            await ws.close(code=_BETA_CLOSE_CODE, message=f"invalid_request_error.{code}".encode())
            return
        try:
            async with asyncio.timeout(self._settings.limits.load_timeout_s):
                await self._loaded.wait()
        except TimeoutError:
            await ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"models did not load")
            return
        if self._workers is not None and not ws.closed:
            await run_session(ws, workers=self._workers, settings=self._settings)


async def run_session(
    ws: web.WebSocketResponse, *, workers: Workers, settings: SpeechSettings
) -> None:
    """Serve one client until it leaves, stops reading, or its time is over."""
    outbox = Outbox(ws, settings.limits)
    session = Session(
        workers=workers,
        settings=settings,
        emit=lambda event: outbox.put(wire.serialize(event)),
        wait_for_room=outbox.wait_for_room,
    )
    log.info("session %s opened", session.id)
    session.start()
    try:
        async with asyncio.timeout(settings.limits.session_s):
            await _converse(ws, session, outbox)
    except TimeoutError:
        session.emit_error("session_expired", "Your session hit the maximum duration.")
        with contextlib.suppress(SlowClientError, ConnectionError):
            await outbox.flush()
        await _close(ws, WSCloseCode.GOING_AWAY, b"session_expired")
    finally:
        await session.close()
        log.info("session %s closed", session.id)


async def _converse(ws: web.WebSocketResponse, session: Session, outbox: Outbox) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(outbox.run(), name="outbox")
            await _receive(ws, session)
            sender.cancel()
    except* SlowClientError:
        log.warning("session %s does not read what it is sent: closed", session.id)
        await _close(ws, WSCloseCode.POLICY_VIOLATION, b"client reads too slowly")
    except* ConnectionError:
        log.info("session %s: connection lost", session.id)


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


def _error_frame(code: str, message: str) -> str:
    return wire.serialize(wire.ErrorEvent(error=wire.ErrorDetails(code=code, message=message)))


def _error(status: int, code: str, message: str) -> web.Response:
    body = {"error": {"type": "invalid_request_error", "code": code, "message": message}}
    return web.json_response(body, status=status)


async def run_model_server(
    settings: SpeechSettings | None = None,
    *,
    sock: socket.socket | None = None,
    stopped: asyncio.Event | None = None,
    on_listening: Callable[[int], None] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until `stopped` is set or this is cancelled; ends within two seconds.

    Connections are accepted at once; sessions wait for the models.

    sock: a listening socket, taken over; otherwise `settings.host` and `settings.port`.
    on_listening: called with the port once connections are accepted.
    on_ready: called once the models are loaded.

    Raises:
        SpeechError: the models cannot be used; the text is one line for people.
        OSError: the address cannot be had.
    """
    settings = settings or SpeechSettings()
    tasks = OwnedTasks(log)
    waiting = tasks.start((stopped or asyncio.Event()).wait(), name="wait for stop")
    server = ModelServer(settings)
    runner = web.AppRunner(
        server.application(), access_log=None, shutdown_timeout=_CLOSE_TIMEOUT_S / 2
    )
    await runner.setup()
    try:
        await _site(runner, settings, sock).start()
        if on_listening is not None:
            on_listening(runner.addresses[0][1])
        await run_unless(waiting, server.load())
        if on_ready is not None and server.is_ready:
            on_ready()
        await asyncio.wait({waiting})
    finally:
        await tasks.close()
        await server.close()
        await runner.cleanup()


def _site(
    runner: web.AppRunner, settings: SpeechSettings, sock: socket.socket | None
) -> web.BaseSite:
    if sock is not None:
        return web.SockSite(runner, sock)
    return web.TCPSite(runner, settings.host, settings.port)
