"""Events in a provider's own words, both ways: checked, bounded, and otherwise left alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from realtime.events import RawEventReceived
from realtime.lenient_parsing import clean
from realtime.model import UnsupportedCommandError
from realtime.struct import to_json_text
from untrusted.json_reader import InvalidJsonError, mend_text, read_object

MAX_RAW_CHARACTERS: Final = 256 * 1024
"""Of one event in either direction: room for an image or seconds of audio."""

_MAX_TYPE_CHARACTERS: Final = 256


def raw_text(message: Mapping[str, Any], *, needs_type: bool = True) -> str:
    """The text of an event to send.

    needs_type: false for providers whose messages are told apart by their fields

    Raises:
        UnsupportedCommandError: it is no JSON object with a type, or too large.
    """
    if not message:
        raise UnsupportedCommandError("a raw event is a JSON object")
    kind = message.get("type")
    if needs_type and not (isinstance(kind, str) and kind):
        raise UnsupportedCommandError("type: a raw event has one, which is text")
    try:
        text = mend_text(to_json_text(message))
    except (ValueError, RecursionError) as error:
        raise UnsupportedCommandError("a raw event consists of JSON values only") from error
    if len(text) > MAX_RAW_CHARACTERS:
        limit = f"{MAX_RAW_CHARACTERS} characters"
        raise UnsupportedCommandError(f"a raw event has at most {limit}, not {len(text)}")
    return text


def raw_event(frame: str | bytes) -> RawEventReceived | None:
    """The event that a frame is as it came; None for what is no JSON object."""
    try:
        data = read_object(frame, allow_nan=True)
    except InvalidJsonError:
        return None
    kind = data.get("type")
    name = kind if isinstance(kind, str) else ",".join(data)
    is_small = len(frame) <= MAX_RAW_CHARACTERS
    return RawEventReceived(name[:_MAX_TYPE_CHARACTERS], clean(data) if is_small else {})
