"""Errors of the local model: `SpeechError` is the owner's to mend, `ClientError` one client's."""

from __future__ import annotations


class SpeechError(Exception):
    """The model server cannot work; the text is one line for people and says what to do."""


class UnsupportedLanguageError(SpeechError):
    """The engines of these options do not hear or speak the language that they name."""


class ClientError(Exception):
    """Becomes an `error` event about the client's message; the session goes on.

    code: machine word of OpenAI's vocabulary where it has one
    param: path of the field at fault
    """

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class EngineError(Exception):
    """A recogniser or voice failed at one piece of work; the text is one line without any content.

    The session goes on, and so does the engine.
    """
