"""xAI's dialect: OpenAI's GA messages with a session of xAI's own shape. Pure, on JSON objects.

`voice` and `turn_detection` are fields of the session itself, there is no choice of modalities, and
turns that server VAD finds are always answered. A connection begins with `conversation.created`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from realtime.model import InvalidSettingsError
from realtime.openai.beta import to_ga as beta_to_ga
from realtime.openai.codec import JsonObject, TranslatingCodec

_ABSENT: Final = frozenset({"truncation", "prompt", "include", "tracing", "parallel_tool_calls"})
_TRANSCRIPTION_NAMES: Final = {"language": "language_hint", "keywords": "keyterms"}
_INPUT_TRANSCRIPT: Final = "conversation.item.input_audio_transcription.completed"


def to_xai(message: JsonObject) -> JsonObject:
    """Return a client message in xAI's form.

    Raises:
        InvalidSettingsError: It sets something that xAI does not have.
    """
    if message["type"] != "session.update":
        return message
    return message | {"session": session_to_xai(message["session"])}


def session_to_xai(session: Mapping[str, Any]) -> JsonObject:
    """Return a GA session in xAI's form; absent stays absent, null stays null.

    Raises:
        InvalidSettingsError: It sets something that xAI does not have.
    """
    for name in sorted(session.keys() & _ABSENT):
        raise InvalidSettingsError(f"{name}: this provider has no such setting")
    if session.get("tool_choice", "auto") != "auto":
        raise InvalidSettingsError("tool_choice: this provider has auto only")
    if session.get("output_modalities", ["audio"]) != ["audio"]:
        raise InvalidSettingsError("output_modality: this provider always speaks")
    moved = ("type", "audio", "output_modalities", "tool_choice")
    xai = {name: value for name, value in session.items() if name not in moved}
    audio = session.get("audio") or {}
    sound_in, sound_out = dict(audio.get("input") or {}), dict(audio.get("output") or {})
    if sound_in.pop("noise_reduction", None):
        raise InvalidSettingsError("noise_reduction: this provider has no such setting")
    if "turn_detection" in sound_in:
        xai["turn_detection"] = _turn_detection(sound_in.pop("turn_detection"))
    if "voice" in sound_out:
        xai["voice"] = sound_out.pop("voice")
    if isinstance(given := sound_in.get("transcription"), Mapping):
        sound_in["transcription"] = {
            _TRANSCRIPTION_NAMES.get(name, name): value for name, value in given.items()
        }
    sides = {"input": sound_in, "output": sound_out}
    if kept := {side: values for side, values in sides.items() if values}:
        xai["audio"] = kept
    return xai


def _turn_detection(detection: Mapping[str, Any] | None) -> JsonObject | None:
    if detection is None:
        return None
    if detection.get("type") != "server_vad":
        raise InvalidSettingsError("turn_detection.type: this provider has server_vad only")
    for name in ("create_response", "interrupt_response"):
        if detection.get(name) is False:
            raise InvalidSettingsError(f"turn_detection.{name}: this provider always does it")
    own = ("create_response", "interrupt_response")
    return {name: value for name, value in detection.items() if name not in own}


def to_ga(message: JsonObject) -> list[JsonObject]:
    """Return the GA messages that a server message stands for; none for a keep-alive."""
    match message.get("type"):
        case "ping":
            return []
        case "conversation.created":
            return [_session_created(message), message]
        case kind if kind == _INPUT_TRANSCRIPT and message.get("status") == "in_progress":
            # The words so far; the same message comes again when they are final.
            return []
        case _:
            # Names of the beta dialect came first, and sessions are still flat.
            return beta_to_ga(message)


def _session_created(message: JsonObject) -> JsonObject:
    conversation = message.get("conversation")
    known = conversation.get("id") if isinstance(conversation, Mapping) else None
    return {"type": "session.created", "session": {"type": "realtime", "id": known}}


XAI_CODEC: Final = TranslatingCodec(to_xai, to_ga)
