"""HTTP of the room server: the bearer of a request, and refusals as errors."""

from __future__ import annotations

from aiohttp import web


class CallRefusedError(Exception):
    """A call that got no answer, with its HTTP status and code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`, if any."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
