"""Whose pages may use the API: the server's own, and those of listed origins (CORS)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web

from utils import is_own_origin

_METHODS: Final = "GET, POST"
_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_EXPOSED: Final = "Retry-After"
_PREFLIGHT_S: Final = 600


class Origins:
    """The listed ones. Credentials of browsers (cookies) are never asked for: there are none."""

    def __init__(self, listed: Collection[str] = ()) -> None:
        self.listed = frozenset(listed)

    def is_allowed(self, origin: str | None, host: str) -> bool:
        """Whether a page of `origin` may ask `host`; None: it is no page that asks."""
        if origin is None or origin in self.listed:
            return True
        return is_own_origin(origin, host)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks for permission; None when it is none of ours to give."""
        is_asking = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        is_listed = request.headers.get(hdrs.ORIGIN) in self.listed
        if request.method != "OPTIONS" or not is_asking or not is_listed:
            return None
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_PREFLIGHT_S),
        }
        return web.Response(status=204, headers=headers)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Tell the browser that a listed origin's page may read this answer."""
        if not self.listed:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self.listed:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
