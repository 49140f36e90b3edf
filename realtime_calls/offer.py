"""Offers of calls as OpenAI's clients send them: plain SDP, or a form of `sdp` and `session`. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from aiohttp import helpers

from realtime import struct as wire
from speech.abilities import Abilities
from speech.access import RefusedError
from speech.client_secrets import read_settings
from untrusted.json_reader import InvalidJsonError, read_object

MAX_PARTS: Final = 16
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{1,70}")
_NAME: Final = re.compile(
    rb'^content-disposition:[^\r\n]*;[ \t]*name="?([^"\r\n;]{1,64})"?', re.I | re.M
)


class CallOffer(NamedTuple):
    """An offer, and the settings that the session begins with."""

    sdp: str
    settings: tuple[wire.Session, ...] = ()


def read_call_offer(content_type: str, body: bytes, abilities: Abilities) -> CallOffer:
    """Read the body of a request for a call.

    Raises:
        RefusedError: another kind of body, or a part of it is missing or wrong.
    """
    kind = helpers.parse_mimetype(content_type)
    name = f"{kind.type}/{kind.subtype}"
    if name == "application/sdp":
        return CallOffer(_text(body))
    if name == "multipart/form-data":
        return _read_form(body, kind.parameters.get("boundary", ""), abilities)
    text = "Send the offer as application/sdp, or as multipart/form-data with sdp and session."
    raise RefusedError(415, "unsupported_content_type", text)


def _read_form(body: bytes, boundary: str, abilities: Abilities) -> CallOffer:
    fields = form_fields(body, boundary)
    sdp = fields.get("sdp", b"")
    if not sdp.strip():
        raise RefusedError(400, "missing_required_parameter", "sdp: field required", param="sdp")
    settings = fields.get("session", b"")
    if not settings.strip():
        return CallOffer(_text(sdp))
    try:
        parsed = read_object(settings)
    except InvalidJsonError:
        message = "session: not a JSON object"
        raise RefusedError(400, "invalid_json", message, param="session") from None
    return CallOffer(_text(sdp), (read_settings(parsed, abilities),))


def form_fields(body: bytes, boundary: str) -> dict[str, bytes]:
    """Return the fields of a form (RFC 7578) by name; what is no field of one is left out."""
    if not _BOUNDARY.fullmatch(boundary):
        raise RefusedError(400, "invalid_value", "The form has no valid boundary.")
    delimiter = b"\r\n--" + boundary.encode()
    fields: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)[1 : MAX_PARTS + 1]:
        if part.startswith(b"--"):
            break
        head, _, content = part.partition(b"\r\n\r\n")
        if (found := _NAME.search(head)) is not None:
            fields[found[1].decode("latin-1")] = content
    return fields


def _text(sdp: bytes) -> str:
    try:
        return sdp.decode()
    except UnicodeDecodeError:
        raise RefusedError(400, "invalid_offer", "sdp: not UTF-8", param="sdp") from None
