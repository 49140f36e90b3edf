"""The routes of calls: `POST /v1/realtime/calls` and `POST /v1/realtime/calls/{id}/hangup`."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import hdrs, web

from http_server.bodies import BodyError, ClientGoneError, read_body
from realtime_calls.call import Call
from realtime_calls.offer import CallOffer, read_call_offer
from realtime_calls.options import CallOptions
from rtc.peer.peer import PeerError
from speech.access import Grant, RefusedError
from speech.server import ModelServer
from utils import OwnedTasks

PATH: Final = "/v1/realtime/calls"
MAX_BODY_BYTES: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 10.0

_log = logging.getLogger(__name__)


class Calls:
    """All calls of a model server; they count with its other sessions and end with them."""

    def __init__(self, server: ModelServer, options: CallOptions) -> None:
        self._server = server
        self._options = options
        self._calls: dict[str, Call] = {}
        self._tasks = OwnedTasks(_log)

    def add_routes(self, app: web.Application) -> None:
        """Serve calls in `app`, the application of the server."""
        app.router.add_post(PATH, self._handle_call)
        app.router.add_post(PATH + "/{id}/hangup", self._handle_hangup)
        app.on_cleanup.append(self._close)
        self._server.find_call = self._calls.get

    async def _close(self, _app: web.Application) -> None:
        await self._tasks.close()

    async def _handle_call(self, request: web.Request) -> web.Response:
        grant = self._server.access.check(request)
        self._server.sessions.check()
        body = await _read_body(request)
        abilities = await self._server.prepare(grant.options)
        offer = read_call_offer(request.headers.get(hdrs.CONTENT_TYPE, ""), body, abilities)
        self._server.sessions.check()
        call = Call(self._server, self._options, grant.options)
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks.start(self._run(call, grant, offer, answered), name=f"call {call.id}")
        sdp = await answered
        return web.Response(
            status=201,
            text=sdp,
            content_type="application/sdp",
            headers={hdrs.LOCATION: f"{PATH}/{call.id}"},
        )

    async def _run(
        self, call: Call, grant: Grant, offer: CallOffer, answered: asyncio.Future[str]
    ) -> None:
        self._calls[call.id] = call
        try:
            with self._server.sessions.opened(call.end):
                try:
                    await _answer(call, offer.sdp, answered)
                    await call.run((*grant.settings, *offer.settings))
                finally:
                    await call.close()
        finally:
            del self._calls[call.id]
            _refuse(answered, RefusedError(503, "call_failed", "The call could not be answered."))

    async def _handle_hangup(self, request: web.Request) -> web.Response:
        self._server.access.check(request)
        call = self._calls.get(request.match_info["id"])
        if call is None:
            raise RefusedError(404, "call_not_found", "No such call is under way.")
        await call.end()
        return web.Response()


async def _answer(call: Call, offer: str, answered: asyncio.Future[str]) -> None:
    """Answer the offer, or hang up."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            sdp = await call.answer(offer)
    except PeerError as error:
        call.hang_up()
        status, code = (400, "invalid_offer") if error.code == "invalid" else (502, "call_failed")
        _refuse(answered, RefusedError(status, code, str(error), param="sdp"))
    except TimeoutError:
        call.hang_up()
        _refuse(answered, RefusedError(504, "call_failed", "No answer could be made in time."))
    else:
        if not answered.done():
            answered.set_result(sdp)


def _refuse(answered: asyncio.Future[str], refusal: RefusedError) -> None:
    if not answered.done():
        answered.set_exception(refusal)


async def _read_body(request: web.Request) -> bytes:
    try:
        return await read_body(request, max_bytes=MAX_BODY_BYTES, timeout_s=BODY_TIMEOUT_S)
    except BodyError as error:
        raise RefusedError(error.status, error.code, str(error)) from error
    except ClientGoneError:
        raise RefusedError(400, "bad_request", "The body is not complete.") from None
