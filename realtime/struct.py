"""OpenAI's Realtime messages (GA shape), re-exported from `realtime.openai.wire`.

Server messages are read tolerantly, since providers move on: unknown fields pass, known ones that
are wrong and not needed are left out (`realtime.lenient_parsing`), an unknown type becomes `UnknownEvent`,
an unknown kind of item `UnknownItem`. Client messages are read strictly,
so that its sender learns what was wrong with it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, get_args

from pydantic import TypeAdapter, ValidationError

from realtime.lenient_parsing import clean, mended, path_in, read_tolerantly
from realtime.openai.wire.base import *  # noqa: F403  a face shows every name behind it
from realtime.openai.wire.base import WireEvent
from realtime.openai.wire.client import *  # noqa: F403
from realtime.openai.wire.client import AnyClientEvent, ClientEvent
from realtime.openai.wire.items import *  # noqa: F403
from realtime.openai.wire.reply import *  # noqa: F403
from realtime.openai.wire.server import *  # noqa: F403
from realtime.openai.wire.server import KnownServerEvent, ServerEvent, UnknownEvent
from realtime.openai.wire.session import *  # noqa: F403
from untrusted.json_reader import InvalidJsonError, read_base64, read_object
from untrusted.validation import first_fault

_CLIENT: TypeAdapter[AnyClientEvent] = TypeAdapter(ClientEvent)
_SERVER: TypeAdapter[KnownServerEvent] = TypeAdapter(ServerEvent)

_SERVER_TYPES: Final = frozenset(
    each.model_fields["type"].default for each in get_args(KnownServerEvent)
)

_TYPE_ERRORS = {"union_tag_invalid", "union_tag_not_found"}
_Message = str | bytes | Mapping[str, Any]


def _forget(_path: str) -> None:
    pass


class InvalidEventError(ValueError):
    """A message breaks the protocol; the text says what is wrong and never repeats content.

    code: `invalid_json`, `missing_required_parameter` or `invalid_value`
    param: path of the wrong field, such as `session.audio.output.speed`
    event_id: the message's own id, when it has one
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.event_id = event_id


def parse_server_event(
    text: str | bytes, *, note: Callable[[str], None] = _forget
) -> KnownServerEvent | UnknownEvent:
    """Read what a provider sent; what is wrong with it and not needed is left out.

    note: takes the path of each thing that was left out

    Raises:
        InvalidEventError: not JSON, no type, or a known type without what it is about.
    """
    try:
        return _SERVER.validate_json(text, context={"note": note})
    except ValidationError:
        return read_server_event(parse_json_object(text), note=note)


def read_server_event(
    message: Mapping[str, Any], *, note: Callable[[str], None] = _forget
) -> KnownServerEvent | UnknownEvent:
    """The same of a message that is parsed already, such as a translated one.

    Raises:
        InvalidEventError: no type, or a known type without what it is about.
    """
    kind = message.get("type")
    if isinstance(kind, str) and kind not in _SERVER_TYPES:
        return UnknownEvent.model_validate(clean(message))

    def validate(rest: Any) -> KnownServerEvent:
        return _SERVER.validate_python(rest, context={"note": note})

    try:
        return read_tolerantly(validate, message, note=note)
    except ValidationError as error:
        raise _explain(message, error) from None


def parse_json_object(
    text: str | bytes, *, streams: Collection[str] = ("delta",)
) -> dict[str, Any]:
    """Any message of a provider as plain JSON values.

    streams: names of the fields whose text may begin or end with half a character

    Raises:
        InvalidEventError: not a JSON object.
    """
    try:
        message = read_object(text, should_keep_halves=True, allow_nan=True)
    except InvalidJsonError:
        raise InvalidEventError("the message is not a JSON object", code="invalid_json") from None
    has_escapes = "\\u" in text if isinstance(text, str) else b"\\u" in text
    if has_escapes:
        message = mended(message, keep=streams)
    return message


def to_json_text(message: Mapping[str, Any]) -> str:
    """Plain JSON values as compact text.

    Raises:
        ValueError: something in it is not JSON.
    """
    try:
        return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except TypeError as error:
        raise ValueError(str(error)) from error


def parse_client_event(text: str | bytes) -> AnyClientEvent:
    """Read what a client sent.

    Raises:
        InvalidEventError: naming the field that is wrong and the client's own event id.
    """
    try:
        return _CLIENT.validate_json(text)
    except ValidationError as error:
        raise _explain(text, error) from None


def serialize(message: WireEvent) -> str:
    """As compact JSON with the fields that are set: absent stays absent, null stays null."""
    return message.model_dump_json(exclude_unset=True)


def audio_append_text(pcm: bytes) -> str:
    """An `input_audio_buffer.append` as `serialize` writes it, for a fraction of its cost."""
    return f'{{"type":"input_audio_buffer.append","audio":"{encode_pcm(pcm)}"}}'


def encode_pcm(pcm: bytes) -> str:
    """Audio as the base64 text that messages carry."""
    return base64.b64encode(pcm).decode("ascii")


def decode_pcm(text: str, *, param: str = "audio") -> bytes:
    """Whole samples out of base64 text.

    Raises:
        InvalidEventError: not base64, or half a sample; `param` goes into the error.
    """
    pcm = decode_audio(text, param=param)
    if len(pcm) % 2:
        message = f"{param}: {len(pcm)} bytes are not a whole number of 16-bit samples"
        raise InvalidEventError(message, code="invalid_value", param=param)
    return pcm


def decode_audio(text: str, *, param: str = "audio", event_id: str | None = None) -> bytes:
    """A piece of a stream of audio out of base64 text: a sample may be cut in two by its end.

    Raises:
        InvalidEventError: not base64; `param` and `event_id` go into the error.
    """
    try:
        return read_base64(text)
    except ValueError:
        message = f"{param}: not valid base64"
        raise InvalidEventError(
            message, code="invalid_value", param=param, event_id=event_id
        ) from None


def _json_object(text: _Message) -> dict[str, Any] | None:
    if isinstance(text, Mapping):
        return dict(text)
    try:
        return read_object(text)
    except InvalidJsonError:
        return None


def _explain(text: _Message, error: ValidationError) -> InvalidEventError:
    first = first_fault(error)
    message = _json_object(text)
    if message is None:
        return InvalidEventError("the message is not a JSON object", code="invalid_json")
    path = [str(step) for step in path_in(message, first.place, is_missing=first.kind == "missing")]
    param = ".".join([*path, "type"] if first.kind in _TYPE_ERRORS else path)
    is_missing = first.kind in {"missing", "union_tag_not_found"}
    event_id = message.get("event_id")
    return InvalidEventError(
        f"{param}: {_reason(first.kind, first.text)}",
        code="missing_required_parameter" if is_missing else "invalid_value",
        param=param,
        event_id=event_id if isinstance(event_id, str) else None,
    )


def _reason(kind: str, text: str) -> str:
    """Pydantic's words, without what they repeat of the input."""
    match kind:
        case "union_tag_invalid":
            return f"unknown value, expected one of {text.partition('expected tags: ')[2]}"
        case "union_tag_not_found":
            return "field required"
        case _:
            return text[:1].lower() + text[1:]
