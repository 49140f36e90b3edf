"""Errors of the embedded language model."""

from __future__ import annotations

from speech.errors import SpeechError


class EmbeddedModelError(SpeechError):
    """The embedded model cannot be served; the text is one line for people and says what to do."""


class RequestError(Exception):
    """A request that is refused before llama.cpp sees it.

    status: of the HTTP answer
    code: machine word
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
