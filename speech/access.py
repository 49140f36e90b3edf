"""Access of clients to the model server: pages of other sites, API keys and ephemeral keys."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from realtime import struct as wire
from speech.ephemeral_keys import PREFIX, EphemeralKeys
from speech.options import SessionOptions
from speech.session_options import OptionsRefusedError, options_of
from speech.settings import SpeechSettings
from utils import is_loopback

SUBPROTOCOL: Final = "realtime"
KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
"""Pages cannot set headers of a WebSocket: they name their key as a subprotocol."""

_METHODS: Final = "GET, POST"
_HEADERS: Final = "*, Authorization"
_EXPOSED: Final = "Location"
_PREFLIGHT_S: Final = "600"


class RefusedError(Exception):
    """A request that is not carried out. status: of HTTP; code: for programs."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def response(self) -> web.Response:
        """Return the answer to the request."""
        is_server = self.status >= 500
        details = {
            "type": "server_error" if is_server else "invalid_request_error",
            "code": self.code,
            "message": str(self),
            "param": self.param,
        }
        return web.json_response({"error": details}, status=self.status)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request whose handler raises `RefusedError`."""
    try:
        return await handler(request)
    except RefusedError as refusal:
        return refusal.response()


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of a request.

    settings: what its session begins with
    options: of its session, in place of the process's own
    """

    is_ephemeral: bool = False
    settings: tuple[wire.Session, ...] = ()
    options: SessionOptions | None = None


class Access:
    """Checks requests. Without an API key everyone who reaches the server may use it."""

    def __init__(self, settings: SpeechSettings, keys: EphemeralKeys) -> None:
        self._settings = settings
        self._host = settings.host
        self._api_key = settings.api_key
        self._origins = settings.allowed_origins
        self._keys = keys

    def check(self, request: web.Request) -> Grant:
        """Return what the sender of `request` may do.

        Raises:
            RefusedError: a page of another site, or a key that is missing, wrong or expired.
        """
        self._check_page(request)
        given = _key_of(request)
        if given is not None and given.startswith(PREFIX):
            if (key := self._keys.find(given)) is not None:
                settings = () if key.session is None else (key.session,)
                return Grant(is_ephemeral=True, settings=settings)
            raise RefusedError(401, "invalid_api_key", "The ephemeral key is unknown or expired.")
        if self._api_key is not None and not _is_same(given or "", self._api_key):
            raise RefusedError(
                401, "invalid_api_key", "Send the server's key: Authorization: Bearer KEY."
            )
        try:
            return Grant(options=options_of(self._settings, request.headers))
        except OptionsRefusedError as error:
            raise RefusedError(403, "options_refused", str(error)) from error

    def _check_page(self, request: web.Request) -> None:
        if self._is_of_foreign_page(request):
            raise RefusedError(403, "foreign_page", "Pages of other sites may not use this server.")

    def _is_of_foreign_page(self, request: web.Request) -> bool:
        """A page in a browser of this machine reaches loopback too: by its own name that it lets
        point here (then `Host` is that), or across sites (then `Origin` is its site).
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not self._is_known_origin(origin):
            return True
        is_behind_proxy = self._api_key is not None  # which no such page has
        return is_loopback(self._host) and not (is_behind_proxy or is_loopback(request.host))

    def _is_known_origin(self, origin: str) -> bool:
        return origin in self._origins or is_loopback(origin.partition("//")[2])

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers by which a known origin's page may read this answer (CORS)."""
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self._is_known_origin(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

    async def handle_preflight(self, request: web.Request) -> web.Response:
        """Answer a page's question about what it may send. Raises: RefusedError."""
        self._check_page(request)
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_S,
        }
        return web.Response(status=204, headers=headers)


def _key_of(request: web.Request) -> str | None:
    """Return the key that a request carries, wherever OpenAI's and Azure's clients put it."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if (key := request.headers.get("api-key")) is not None:
        return key
    for protocol in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(","):
        if protocol.strip().startswith(KEY_SUBPROTOCOL):
            return protocol.strip().removeprefix(KEY_SUBPROTOCOL)
    return None


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(
        given.encode(errors="surrogateescape"), wanted.encode(errors="surrogateescape")
    )
