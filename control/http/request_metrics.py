"""Counts and times requests by the template of their route."""

from __future__ import annotations

import re
import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from control.metrics.figures import Figures
from http_server.errors import ERROR_CODE

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WORD: Final = re.compile(r"[a-z_]{1,40}")
_STREAM: Final = "text/event-stream"


def measure_requests(figures: Figures) -> Middleware:
    """Return the outermost middleware; a client that left before its answer counts as `aborted`."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began_s = time.monotonic()
        response: web.StreamResponse | None = None
        try:
            response = await handler(request)
        finally:
            _note(figures, request, response, time.monotonic() - began_s)
        return response

    return measure


def _note(
    figures: Figures, request: web.Request, response: web.StreamResponse | None, duration_s: float
) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    method = request.method if request.method in _METHODS else "other"
    status = str(response.status) if response is not None else "aborted"
    figures.requests.labels(method, route, status).inc()
    if response is None:
        return
    if (code := response.get(ERROR_CODE)) is not None:
        is_word = _WORD.fullmatch(code) is not None
        figures.refusals.labels(code if is_word else "other").inc()
    is_lasting = isinstance(response, web.WebSocketResponse) or response.content_type == _STREAM
    if not is_lasting:
        figures.request_seconds.labels(route).observe(duration_s)
