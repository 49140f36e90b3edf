"""Errors that come from below any handler, in the shape of all others: `{"error", "code"}`."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

ERROR_CODE: Final = web.ResponseKey("error_code", str)
"""By which an answer says its machine word to whoever counts."""

_WORDS: Final = {
    400: ("bad_request", "the request is malformed"),
    404: ("not_found", "there is nothing here; see /openapi.json"),
    405: ("method_not_allowed", "this method is not allowed here"),
    408: ("timeout", "the request did not come in time"),
    411: ("length_required", "the body's length is missing"),
    413: ("too_large", "the body is too large"),
    415: ("unsupported_media_type", "the body must be JSON: Content-Type: application/json"),
    416: ("range_not_satisfiable", "the range is not in the file"),
    417: ("expectation_failed", "Expect: only 100-continue is understood"),
    426: ("upgrade_required", "this is a WebSocket"),
    431: ("headers_too_large", "the request line or a header is too long: 8 KiB at most"),
    500: ("internal_error", "the server failed; see its log"),
    504: ("timeout", "the server did not finish in time"),
}
_OTHER: Final = ("http_error", "the request cannot be served")
_KEPT_HEADERS: Final = ("Allow", "Accept-Ranges", "Content-Range", "Retry-After", "Upgrade")


def error_response(status: int, code: str | None = None, text: str | None = None) -> web.Response:
    """The answer of this status; its usual word and text where none are given."""
    usual_code, usual_text = _WORDS.get(status, _OTHER)
    body = {"error": text or usual_text, "code": code or usual_code}
    response = web.Response(
        status=status, text=json.dumps(body, ensure_ascii=False), content_type="application/json"
    )
    response[ERROR_CODE] = body["code"]
    return response


def of_http_exception(error: web.HTTPException) -> web.Response:
    """The same for what aiohttp raises, without its text, which may repeat what was sent."""
    response = error_response(error.status)
    for name in _KEPT_HEADERS:
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response
