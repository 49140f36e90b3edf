"""Items that clients create: what is acceptable, and their audio. Pure."""

from __future__ import annotations

from typing import Any

from audio import Resampler
from realtime import struct as wire
from speech.errors import ClientError
from speech.sample_rates import ENGINE_RATE_HZ, WIRE_RATE_HZ

_PARTS = {
    "user": {"input_text", "input_audio", "input_image"},
    "system": {"input_text"},
    "assistant": {"output_text"},
}


def checked_item(item: Any, max_characters: int) -> tuple[Any, bytes]:
    """The item as this server keeps it (with id and status), and its audio as 24 kHz PCM16.

    Raises:
        ClientError: a kind, part or size that cannot be taken.
    """
    changes: dict[str, Any] = {
        "id": item.id or wire.new_id("item"),
        "object": "realtime.item",
        "status": "completed",
    }
    pcm = b""
    match item.type:
        case "message":
            pcm = _checked_content(item, max_characters)
            if pcm:
                part = wire.ContentPart(type="input_audio", transcript=None)
                changes["content"] = [part]
        case "function_call":
            _check_length(item.arguments, max_characters, "item.arguments")
            changes["call_id"] = item.call_id or wire.new_id("call")
        case "function_call_output":
            _check_length(item.output, max_characters, "item.output")
        case _:
            raise ClientError(
                "invalid_value",
                f"Items of type {item.type!r} cannot be created here.",
                param="item.type",
            )
    return item.model_copy(update=changes), pcm


def _checked_content(item: wire.MessageItem, max_characters: int) -> bytes:
    if not item.content:
        raise ClientError("invalid_value", "A message needs content.", param="item.content")
    pcm = b""
    for index, part in enumerate(item.content):
        param = f"item.content[{index}]"
        if part.type not in _PARTS[item.role]:
            allowed = ", ".join(sorted(_PARTS[item.role]))
            raise ClientError(
                "invalid_value",
                f"A {item.role} message cannot contain {part.type}: use {allowed}.",
                param=f"{param}.type",
            )
        if part.type.endswith("_text") and part.text is None:
            raise ClientError(
                "missing_required_parameter", f"{param}.text is missing.", param=f"{param}.text"
            )
        _check_length(part.text or "", max_characters, f"{param}.text")
        if part.type == "input_audio":
            pcm = _checked_audio(item, part, param)
    return pcm


def _checked_audio(item: wire.MessageItem, part: wire.ContentPart, param: str) -> bytes:
    if len(item.content) > 1:
        raise ClientError(
            "invalid_value", "Audio must be the only content of its message.", param=param
        )
    if part.audio is None and part.transcript is None:
        raise ClientError(
            "missing_required_parameter", f"{param}.audio is missing.", param=f"{param}.audio"
        )
    return wire.decode_pcm(part.audio or "", param=f"{param}.audio")


def _check_length(text: str, max_characters: int, param: str) -> None:
    if len(text) > max_characters:
        raise ClientError(
            "string_above_max_length",
            f"{param} has {len(text)} characters, at most {max_characters} are taken.",
            param=param,
        )


def resample_for_engine(pcm: bytes) -> bytes:
    """Whole 24 kHz audio as the recogniser wants it."""
    resampler = Resampler(WIRE_RATE_HZ, ENGINE_RATE_HZ)
    return resampler.push(pcm) + resampler.flush()
