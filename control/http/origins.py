"""Origins whose pages may use the API: the server's own and the listed ones (CORS)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from aiohttp import hdrs, web

from http_server.origins import OriginCheck

_EXPOSED: Final = "Content-Range, Idempotent-Replayed, Retry-After"
_PREFLIGHT_S: Final = 600


class Origins(OriginCheck):
    """The listed origins. Browser credentials (cookies) are never allowed: there are none."""

    def __init__(
        self,
        listed: Collection[str] = (),
        methods: Iterable[str] = (),
        headers: Iterable[str] = (),
    ) -> None:
        """methods, headers: allowed in requests to the routes"""
        super().__init__(listed)
        self._methods = ", ".join(sorted(methods))
        self._headers = ", ".join(sorted(headers))

    def preflight(self, request: web.Request) -> web.Response | None:
        """Answer a CORS preflight of a listed origin; None for any other request."""
        is_asking = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        is_listed = request.headers.get(hdrs.ORIGIN) in self.listed
        if request.method != "OPTIONS" or not is_asking or not is_listed:
            return None
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: self._methods,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: self._headers,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_PREFLIGHT_S),
        }
        return web.Response(status=204, headers=headers)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the CORS headers by which a listed origin's page may read this answer."""
        if not self.listed:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self.listed:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
