"""The local model server: `GET /v1/realtime` speaks the OpenAI Realtime protocol.

Beside it: `GET /v1/models`, `POST /v1/realtime/client_secrets`, `GET /healthz`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, web

from realtime import struct as wire
from speech.abilities import Abilities
from speech.access import SUBPROTOCOL, Access, Grant, RefusedError, answer_refusals
from speech.client_secrets import create_client_secret
from speech.engine_pool import EnginePool, Engines, load_engines, load_in_thread
from speech.engines.choice import expected_abilities
from speech.ephemeral_keys import EphemeralKeys
from speech.errors import SpeechError, UnsupportedLanguageError
from speech.language_model.create import CreateModel, create_language_model
from speech.minds import Minds
from speech.open_sessions import CLOSE_TIMEOUT_S, OpenSessions
from speech.options import SessionOptions
from speech.output_audio import OutputAudioBuffer
from speech.send_queue import SendQueue
from speech.session import Session
from speech.session_config import MODEL
from speech.settings import SpeechSettings
from speech.websocket_session import SharedSession, run_session, run_sideband
from utils import OwnedTasks, is_loopback, run_unless

__all__ = ["ModelServer", "SpeechError", "run_model_server"]

_log = logging.getLogger(__name__)

_BETA_CLOSE_CODE = 4000
_MODEL = {"id": MODEL, "object": "model", "created": 0, "owned_by": "parley"}


class ModelServer:
    """All sessions of this process and the engines they share."""

    def __init__(
        self, settings: SpeechSettings, *, create_model: CreateModel = create_language_model
    ) -> None:
        """create_model: makes the language model that options name"""
        self.settings = settings
        self.minds = Minds(create_model)
        self.sessions = OpenSessions(settings.limits.sessions, overload=self._overload)
        self.keys = EphemeralKeys()
        self.access = Access(settings, self.keys)
        # Finds the session of a WebRTC call by its id; set by what serves such calls.
        self.find_call: Callable[[str], SharedSession | None] | None = None
        self._engines: EnginePool | None = None
        self._loaded = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """True once the models are loaded."""
        return self._loaded.is_set()

    def use(self, engines: Engines) -> None:
        """Serve with these engines from now on."""
        self._engines = EnginePool(engines, self.settings)
        self._loaded.set()

    async def load(self) -> None:
        """Load the engines in a thread of its own.

        Raises:
            SpeechError: in one line, why that is impossible here.
        """
        self.minds.mind(self.settings.options)  # its client is imported meanwhile
        self.use(await load_in_thread(lambda: load_engines(self.settings)))
        _log.info("models loaded")

    async def close(self) -> None:
        """End every session with a goodbye; then free the engines."""
        await self.sessions.close()
        await self.minds.close()
        if self._engines is not None:
            await self._engines.close()

    def create_session(
        self,
        emit: Callable[[wire.WireEvent], None],
        wait_for_room: Callable[[], Awaitable[None]],
        output: OutputAudioBuffer | None = None,
        options: SessionOptions | None = None,
    ) -> Session:
        """A session with the engines of this process, which must be loaded; see `Session`.

        options: in place of the process's own
        """
        assert self._engines is not None
        return Session(
            workers=self._engines.session(options),
            settings=replace(self.settings, options=options or self.settings.options),
            emit=emit,
            wait_for_room=wait_for_room,
            output=output,
            mind=self.minds.mind(options or self.settings.options),
            counters=self.minds.counters,
        )

    async def prepare(self, options: SessionOptions | None) -> Abilities:
        """Load what sessions with these options need, and return what they can.

        options: None: those of the process

        Raises:
            RefusedError: the models did not load, or these engines cannot be had.
        """
        try:
            await self.wait_loaded()
            assert self._engines is not None
            return await self._engines.prepare(options or SessionOptions())
        except TimeoutError as error:
            raise RefusedError(503, "not_ready", "The models did not load.") from error
        except UnsupportedLanguageError as error:
            raise RefusedError(400, "unsupported_language", str(error)) from error
        except SpeechError as error:
            raise RefusedError(503, "engine_unavailable", str(error)) from error

    async def wait_loaded(self) -> None:
        """Wait until sessions can be created.

        Raises:
            TimeoutError: the models did not load.
        """
        async with asyncio.timeout(self.settings.limits.load_timeout_s):
            await self._loaded.wait()

    def _overload(self) -> str | None:
        return None if self._engines is None else self._engines.overload()

    def _abilities(self) -> Abilities:
        """Return what sessions can; before the models are loaded, what is expected of them."""
        if self._engines is None:
            return expected_abilities(self.settings.options)
        return self._engines.session_abilities()

    # -- routes --------------------------------------------------------------------------------

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[answer_refusals])
        app.on_response_prepare.append(self.access.mark)
        router = app.router
        router.add_get("/healthz", self._handle_health)
        router.add_get("/v1/models", self._handle_models)
        router.add_get("/v1/models/{id}", self._handle_model)
        router.add_post("/v1/realtime/client_secrets", self._handle_client_secrets)
        router.add_route("OPTIONS", "/v1/{path:.*}", self.access.handle_preflight)
        for path in ("/v1/realtime", "/openai/v1/realtime"):
            router.add_get(path, self._handle_realtime)
        return app

    async def _handle_health(self, _request: web.Request) -> web.Response:
        status = 200 if self.is_ready else 503
        body = {
            "status": "ok" if self.is_ready else "loading",
            "sessions": len(self.sessions),
            "accepts_sessions": self.sessions.is_open,
            "replies": self.minds.counters.as_json(),
        }
        return web.json_response(body, status=status)

    async def _handle_models(self, request: web.Request) -> web.Response:
        self.access.check(request)
        return web.json_response({"object": "list", "data": [_MODEL]})

    async def _handle_model(self, request: web.Request) -> web.Response:
        self.access.check(request)
        if request.match_info["id"] != MODEL:
            raise RefusedError(404, "model_not_found", f"There is one model here: {MODEL}.")
        return web.json_response(_MODEL)

    async def _handle_client_secrets(self, request: web.Request) -> web.Response:
        return await create_client_secret(request, self.access, self.keys, self._abilities())

    async def _handle_realtime(self, request: web.Request) -> web.StreamResponse:
        grant = self.access.check(request)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise RefusedError(426, "websocket_required", "Connect with a WebSocket.")
        limits = self.settings.limits
        ws = web.WebSocketResponse(
            max_msg_size=limits.frame_bytes,
            heartbeat=20.0,
            timeout=1.0,
            protocols=(SUBPROTOCOL,),
        )
        if (call_id := request.query.get("call_id")) is not None:
            return await _served(ws, request, run_sideband(ws, self._call(call_id), limits))
        self._check_new(request)
        if grant.options is not None:
            # Before the handshake: a client learns from its status why it cannot have a session.
            await self.prepare(grant.options)
            self.sessions.check()
        with self.sessions.opened(
            lambda: ws.close(code=WSCloseCode.GOING_AWAY, message=b"server stops")
        ):
            return await _served(ws, request, self._serve(ws, request, grant))

    def _check_new(self, request: web.Request) -> None:
        if "model" not in request.query:
            raise RefusedError(
                400, "missing_model", f"Name a model: /v1/realtime?model={MODEL}", param="model"
            )
        self.sessions.check()

    def _call(self, call_id: str) -> SharedSession:
        call = None if self.find_call is None else self.find_call(call_id)
        if call is None:
            raise RefusedError(404, "call_not_found", "No such call is under way.", param="call_id")
        return call

    async def _serve(self, ws: web.WebSocketResponse, request: web.Request, grant: Grant) -> None:
        if "realtime=v1" in request.headers.get("OpenAI-Beta", ""):
            code = "beta_api_shape_disabled"
            message = "The beta protocol is gone: connect without the OpenAI-Beta header."
            await ws.send_str(_error_frame(code, message))
            await ws.close(code=_BETA_CLOSE_CODE, message=f"invalid_request_error.{code}".encode())
            return
        try:
            await self.wait_loaded()
        except TimeoutError:
            await ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"models did not load")
            return
        if not ws.closed:
            create = partial(self._create_for, grant.options)
            await run_session(ws, create, self.settings.limits, grant.settings)

    def _create_for(self, options: SessionOptions | None, outbox: SendQueue) -> Session:
        return self.create_session(
            lambda event: outbox.put(wire.serialize(event)), outbox.wait_for_room, options=options
        )


async def _served(
    ws: web.WebSocketResponse, request: web.Request, serving: Coroutine[Any, Any, None]
) -> web.WebSocketResponse:
    """Open the WebSocket, run `serving`, and leave no connection behind."""
    try:
        await ws.prepare(request)
        await serving
    finally:
        serving.close()
        if not ws.closed and request.transport is not None:
            request.transport.abort()  # it took no goodbye in time
    return ws


def _error_frame(code: str, message: str) -> str:
    return wire.serialize(wire.ErrorEvent(error=wire.ErrorDetails(code=code, message=message)))


async def run_model_server(
    settings: SpeechSettings | None = None,
    *,
    sock: socket.socket | None = None,
    stopped: asyncio.Event | None = None,
    on_listening: Callable[[int], None] | None = None,
    on_ready: Callable[[], None] | None = None,
    extend: Callable[[ModelServer, web.Application], None] | None = None,
) -> None:
    """Serve until `stopped` is set or this is cancelled; ends within two seconds.

    Connections are accepted at once; sessions wait for the models.

    sock: a listening socket, taken over; otherwise `settings.host` and `settings.port`.
    on_listening: called with the port once connections are accepted.
    on_ready: called once the models are loaded.
    extend: adds further routes.

    Raises:
        SpeechError: the models cannot be used, or everyone could use this server; the text is one line
            for people.
        OSError: the address cannot be had.
    """
    settings = settings or SpeechSettings()
    if settings.api_key is None and not is_loopback(settings.host):
        text = f"everyone who reaches {settings.host} could use the model"
        raise SpeechError(f"{text}: set LOCAL_MODEL_API_KEY, or listen on 127.0.0.1")
    tasks = OwnedTasks(_log)
    waiting = tasks.start((stopped or asyncio.Event()).wait(), name="wait for stop")
    server = ModelServer(settings)
    app = server.application()
    if extend is not None:
        extend(server, app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S / 2)
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
