"""What a client did wrong, as the protocol reports it."""

from __future__ import annotations


class ClientError(Exception):
    """Becomes an `error` event about the client's message; the session goes on.

    code: machine word of OpenAI's vocabulary where it has one
    param: path of the field at fault
    """

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
