"""Options that a client may choose for its own session: from headers of the handshake. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from speech.options import OPTIONS_HEADER, SECRET_HEADER, SessionOptions, decode_options
from speech.settings import SpeechSettings


class OptionsRefusedError(Exception):
    """The headers are not taken; the text says why and repeats no value."""


def options_of(settings: SpeechSettings, headers: Mapping[str, str]) -> SessionOptions | None:
    """Return the options of a session that begins with these headers; None: it chooses none.

    Only the owner knows the secret: options name addresses to call and code to import.

    Raises:
        OptionsRefusedError: the secret is missing or wrong, or the options are malformed.
    """
    text = headers.get(OPTIONS_HEADER)
    if text is None:
        return None
    shown = headers.get(SECRET_HEADER, "").encode(errors="surrogateescape")
    secret = settings.options_secret
    if secret is None or not hmac.compare_digest(shown, secret.encode()):
        raise OptionsRefusedError(f"{OPTIONS_HEADER}: needs the right {SECRET_HEADER}")
    try:
        return decode_options(text).over(settings.options)
    except ValueError as error:
        raise OptionsRefusedError(f"{OPTIONS_HEADER}: {error}") from error
