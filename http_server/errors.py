"""Errors from below the handlers, in the shape of all others: `{"error", "code"}`."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

ERROR_CODE: Final = web.ResponseKey("error_code", str)
"""Error code of an answer, for metrics."""

_WORDS: Final = {
    400: ("bad_request", "the request is malformed"),
    404: ("not_found", "no such path; see /openapi.json"),
    405: ("method_not_allowed", "method not allowed on this path"),
    408: ("timeout", "the request did not arrive in time"),
    411: ("length_required", "the body's length is missing"),
    413: ("too_large", "the body is too large"),
    415: ("unsupported_media_type", "the body must be JSON: Content-Type: application/json"),
    416: ("range_not_satisfiable", "the range is not in the file"),
    417: ("expectation_failed", "Expect: only 100-continue is supported"),
    426: ("upgrade_required", "this path is a WebSocket"),
    431: ("headers_too_large", "the request line or a header is too long: 8 KiB at most"),
    500: ("internal_error", "the server failed; see its log"),
    504: ("timeout", "the server did not finish in time"),
}
_OTHER: Final = ("http_error", "the request cannot be served")
_KEPT_HEADERS: Final = ("Allow", "Accept-Ranges", "Content-Range", "Retry-After", "Upgrade")


def error_response(status: int, code: str | None = None, text: str | None = None) -> web.Response:
    """Return the error answer of this status, by default with its usual code and text."""
    usual_code, usual_text = _WORDS.get(status, _OTHER)
    body = {"error": text or usual_text, "code": code or usual_code}
    response = web.Response(
        status=status, text=json.dumps(body, ensure_ascii=False), content_type="application/json"
    )
    response[ERROR_CODE] = body["code"]
    return response


def of_http_exception(error: web.HTTPException) -> web.Response:
    """Convert an aiohttp exception, without its text, which may repeat input."""
    response = error_response(error.status)
    for name in _KEPT_HEADERS:
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response
