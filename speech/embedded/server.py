"""The embedded model's server: `/v1/chat/completions`, `/v1/models` and `/healthz` on loopback.

In front of llama.cpp's own server, which does the work, it keeps what that lacks: a listening socket
that outlives the process, a bounded queue, and refusals of pages, of wrong keys and of odd requests.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from http_server.bodies import BodyError, ClientGoneError, read_body
from speech.embedded.errors import RequestError
from speech.embedded.llama import LlamaServer
from speech.embedded.model_file import MODEL_NAME
from speech.embedded.requests import LlamaRequest, llama_request
from speech.embedded.settings import EmbeddedSettings
from speech.embedded.slots import Slots
from speech.embedded.tool_calls import ToolCallStream, as_tool_call
from untrusted.json_reader import InvalidJsonError, read_json, read_object
from utils import OwnedTasks, is_loopback, run_unless

_log = logging.getLogger(__name__)

_SHUTDOWN_S = 0.5
_MAX_LINE_BYTES = 1024 * 1024

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EmbeddedServer:
    """The routes, and the requests that run or wait."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self.llama = LlamaServer(settings)
        """Loaded by `load`, freed by `close`."""
        self.slots = Slots(settings.slots, settings.max_waiting)
        self._http: aiohttp.ClientSession | None = None

    async def load(self) -> None:
        """Load the model.

        Raises:
            EmbeddedModelError: that is impossible here; one line says why.
        """
        await self.llama.load()
        self._http = aiohttp.ClientSession(
            self.llama.uri,
            headers={"Authorization": f"Bearer {self.llama.key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            connector=aiohttp.TCPConnector(limit=0),
            read_bufsize=_MAX_LINE_BYTES,
        )

    async def close(self) -> None:
        """End requests and free the model. Idempotent."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()
        await self.llama.close()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/healthz", self._handle_health)
        app.router.add_get("/v1/models", self._handle_models)
        app.router.add_post("/v1/chat/completions", self._handle_completion)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let programs of this machine in, and no page of a browser; answer errors in JSON."""
        try:
            self._require_access(request)
            return await handler(request)
        except (RequestError, BodyError) as error:
            return _error(error.status, error.code, str(error))
        except web.HTTPException as error:
            return _error(error.status, "not_found" if error.status == 404 else "bad_request", "")

    def _require_access(self, request: web.Request) -> None:
        if "Origin" in request.headers or not is_loopback(request.host):
            raise RequestError(403, "foreign_page", "Pages may not use this server.")
        key = self._settings.api_key
        if key is None or request.path == "/healthz":
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(), key.encode())
        if scheme.lower() != "bearer" or not is_right:
            raise RequestError(401, "invalid_api_key", "Send the server's key as a Bearer key.")

    async def _handle_health(self, _request: web.Request) -> web.Response:
        is_ready = self._http is not None
        body = {
            "status": "ok" if is_ready else "loading",
            "running": self.slots.running,
            "waiting": self.slots.waiting,
        }
        return web.json_response(body, status=200 if is_ready else 503)

    async def _handle_models(self, _request: web.Request) -> web.Response:
        model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "HuggingFaceTB"}
        return web.json_response({"object": "list", "data": [model]})

    async def _handle_completion(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await read_body(
                request,
                max_bytes=self._settings.body_bytes,
                timeout_s=self._settings.body_timeout_s,
            )
            given = read_object(body)
        except InvalidJsonError as error:
            raise RequestError(400, "invalid_request", "Send a JSON object.") from error
        except ClientGoneError:
            return web.Response(status=499)
        wanted = llama_request(given, self._settings.max_reply_tokens)
        if self._http is None:
            raise RequestError(503, "loading", "The model is loading.")
        async with self.slots.one():
            return await self._forward(request, wanted, self._http)

    async def _forward(
        self, request: web.Request, wanted: LlamaRequest, http: aiohttp.ClientSession
    ) -> web.StreamResponse:
        """Pass llama.cpp's answer on. A client that leaves cancels this, and that the generation."""
        try:
            async with http.post("/v1/chat/completions", json=wanted.body) as answer:
                if answer.status == 200 and wanted.is_stream:
                    return await _stream(request, answer, wanted)
                content = await answer.read()
                if answer.status == 200 and wanted.is_constrained_call:
                    return web.json_response(as_tool_call(read_object(content)))
                return _passed_on(answer.status, content)
        except (aiohttp.ClientError, InvalidJsonError) as error:
            raise RequestError(503, "unavailable", "llama.cpp gave no answer.") from error


async def _stream(
    request: web.Request, answer: aiohttp.ClientResponse, wanted: LlamaRequest
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    call = ToolCallStream() if wanted.is_constrained_call else None
    try:
        async for line in answer.content:
            if call is None:
                await response.write(line)
                continue
            for event in call.push(line.decode()):
                await response.write(f"{event}\n\n".encode())
    except (aiohttp.ClientError, InvalidJsonError, ValueError) as error:
        # Half an answer has been sent: the client sees a stream without its end.
        _log.warning("llama.cpp broke off an answer: %s", type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _passed_on(status: int, content: bytes) -> web.Response:
    try:
        read_json(content)
    except InvalidJsonError:
        return _error(502, "bad_answer", "llama.cpp gave no JSON.")
    return web.Response(status=status, body=content, content_type="application/json")


def _error(status: int, code: str, message: str) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body: dict[str, Any] = {"error": {"type": kind, "code": code, "message": message}}
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/json", headers=headers
    )


async def run_embedded_server(
    settings: EmbeddedSettings | None = None,
    *,
    sock: socket.socket,
    stopped: asyncio.Event | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until `stopped` is set or this is cancelled. Requests are refused with 503 until the
    model is loaded.

    sock: a listening socket on loopback, taken over
    on_ready: called once the model is loaded

    Raises:
        EmbeddedModelError: the model cannot be used; the text is one line for people.
    """
    tasks = OwnedTasks(_log)
    waiting = tasks.start((stopped or asyncio.Event()).wait(), name="wait for stop")
    server = EmbeddedServer(settings or EmbeddedSettings())
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        await run_unless(waiting, server.load())
        if not waiting.done():
            _log.info("embedded language model loaded: %s", MODEL_NAME)
            if on_ready is not None:
                on_ready()
        await asyncio.wait({waiting})
    finally:
        await tasks.close()
        await runner.cleanup()
        await server.close()
