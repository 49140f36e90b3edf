"""DashScope's realtime messages as GA messages and back. Pure, on plain JSON objects.

Its vocabulary is that of OpenAI's beta with a flat session of its own, tools one level deeper,
images as a buffer of their own, and an end that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from realtime import struct as wire
from realtime.dashscope.families import QwenFamily
from realtime.model import InvalidSettingsError
from realtime.openai import beta
from realtime.openai.codec import JsonObject, TranslatingCodec

INPUT_SAMPLE_RATE_HZ: Final = 16_000
OUTPUT_SAMPLE_RATE_HZ: Final = 24_000

_DATA_URI: Final = "data:image/jpeg;base64,"
_SAMPLING: Final = frozenset({"temperature", "top_p", "top_k", "repetition_penalty", "seed"})
_ABSENT: Final = (
    *("speed", "input_audio_noise_reduction", "parallel_tool_calls", "reasoning"),
    *("truncation", "tracing", "prompt", "include"),
)


class SessionFinish(wire.ClientMessage):
    """Say all that is left to say, then `session.finished`."""

    type: Literal["session.finish"] = "session.finish"


def dashscope_codec(family: QwenFamily) -> TranslatingCodec:
    """Return the codec for the messages of a model of this family."""

    def to_dashscope(message: JsonObject) -> JsonObject | None:
        match message:
            case {"type": "session.update", "session": session}:
                return message | {"session": _session(session, family)}
            case {"type": "conversation.item.create", "item": item} if image := _image_of(item):
                return {"type": "input_image_buffer.append", "image": image}
            case _:
                return beta.to_beta(message)

    return TranslatingCodec(to_dashscope, to_ga)


# -- what we send ------------------------------------------------------------------------------


def _session(session: Mapping[str, Any], family: QwenFamily) -> JsonObject:
    flat = beta.flatten(session, {"modalities": _modalities})
    for name in _ABSENT:
        if name in flat:
            raise InvalidSettingsError(f"{name}: this provider has no such setting")
    if not family.has_sampling and (fixed := sorted(_SAMPLING & flat.keys())):
        raise InvalidSettingsError(f"{fixed[0]}: fixed for this model")
    if flat.pop("tool_choice", "auto") != "auto":
        raise InvalidSettingsError("tool_choice: this provider always decides by itself")
    if flat.get("tools"):
        flat["tools"] = [_tool(tool) for tool in flat["tools"]]
    elif "tools" in flat:
        del flat["tools"]  # nothing to declare, and some models know no tools at all
    if "max_response_output_tokens" in flat:
        flat["max_tokens"] = flat.pop("max_response_output_tokens")
    if flat.get("input_audio_transcription") is not None:
        chosen = flat["input_audio_transcription"].get("model") or family.transcription_model
        flat["input_audio_transcription"] = {"model": chosen}
    if flat.get("turn_detection") is not None:
        flat["turn_detection"] = _turn_detection(flat["turn_detection"], family)
    return _with_audio(flat, family)


def _with_audio(flat: JsonObject, family: QwenFamily) -> JsonObject:
    """Formats and voice, the way this family wants them; only a whole session sets formats."""
    is_whole = "input_audio_format" in flat
    rest = {
        name: value
        for name, value in flat.items()
        if name not in ("input_audio_format", "output_audio_format", "voice")
    }
    voice = {"voice": flat["voice"]} if flat.get("voice") else {}
    if not family.has_nested_audio:
        formats = {"input_audio_format": "pcm", "output_audio_format": "pcm"}
        return {**rest, **(formats if is_whole else {}), **voice}
    audio: JsonObject = {}
    if is_whole:
        audio["input"] = {"format": _format(INPUT_SAMPLE_RATE_HZ)}
        audio["output"] = {"format": _format(OUTPUT_SAMPLE_RATE_HZ), **voice}
    elif voice:
        audio["output"] = voice
    return {**rest, **({"audio": audio} if audio else {})}


def _format(sample_rate_hz: int) -> JsonObject:
    return {"type": "pcm", "sample_rate": sample_rate_hz}


def _modalities(modalities: Any) -> list[str]:
    return ["text", "audio"] if "audio" in modalities else ["text"]


def _tool(tool: Mapping[str, Any]) -> JsonObject:
    inner = {name: value for name, value in tool.items() if name != "type"}
    return {"type": "function", "function": inner}


def _turn_detection(given: Mapping[str, Any], family: QwenFamily) -> JsonObject:
    if given.get("type") not in family.turn_detections:
        known = ", ".join(family.turn_detections)
        raise InvalidSettingsError(f"turn_detection.type: this model has {known}")
    for name in ("create_response", "interrupt_response"):
        if given.get(name) is False:
            raise InvalidSettingsError(f"turn_detection.{name}: this provider always does so")
    left_out = ("create_response", "interrupt_response", "eagerness")
    return {name: value for name, value in given.items() if name not in left_out}


def _image_of(item: Mapping[str, Any]) -> str | None:
    content = item.get("content")
    first = content[0] if isinstance(content, list) and content else {}
    url = first.get("image_url", "") if isinstance(first, Mapping) else ""
    return url.removeprefix(_DATA_URI) if url.startswith(_DATA_URI) else None


# -- what we receive ---------------------------------------------------------------------------


def to_ga(message: JsonObject) -> list[JsonObject]:
    """A server message in GA's words: none, one, or an item's two."""
    kind = message.get("type")
    match kind:
        case "session.created" | "session.updated":
            return [message | {"session": _session_head(message.get("session"))}]
        case _:
            return beta.to_ga(message)


def _session_head(session: Any) -> JsonObject:
    """Of the flat session only what we need: its names are not GA's."""
    given = session if isinstance(session, Mapping) else {}
    known = {name: given[name] for name in ("id", "object", "model") if name in given}
    return {"type": "realtime", **known}
