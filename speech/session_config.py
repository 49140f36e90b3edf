"""The session object: defaults, what an update changes, and what this server cannot do. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from realtime import struct as wire
from speech.abilities import Abilities, primary_language
from speech.errors import ClientError
from speech.turns.eagerness import semantic_settings
from speech.turns.turn_detector import TurnSettings

MODEL = "parley-local"
"""The model that answers, whatever name a client asked for."""

DEFAULT_INSTRUCTIONS = "You are a helpful voice assistant. You speak English."

_NEAR_FIELD: Final = {"type": "near_field"}

_VAD_DEFAULTS: dict[str, dict[str, Any]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 400,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}

_NULL_MEANS_OFF = frozenset(
    {"turn_detection", "noise_reduction", "transcription", "tracing", "prompt", "include"}
)
_REPLACED_WHOLE = _NULL_MEANS_OFF | {"format", "tool_choice", "truncation", "reasoning"}
_SET_BY_SERVER = frozenset({"id", "object", "expires_at", "type", "model"})


def default_session(abilities: Abilities, *, session_id: str, expires_at: int) -> dict[str, Any]:
    """A session as it is created."""
    pcm = {"type": "audio/pcm", "rate": 24_000}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": MODEL,
        "expires_at": expires_at,
        "output_modalities": ["audio"],
        "instructions": DEFAULT_INSTRUCTIONS,
        "audio": {
            "input": {
                "format": pcm,
                "noise_reduction": dict(_NEAR_FIELD) if abilities.suppresses_noise else None,
                "transcription": abilities.transcription,
                "turn_detection": dict(_VAD_DEFAULTS["server_vad"]),
            },
            "output": {"format": dict(pcm), "voice": abilities.voice(None), "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
    }


def updated_session(
    session: dict[str, Any], update: wire.Session, abilities: Abilities
) -> dict[str, Any]:
    """`session` with the present fields of `update`; the argument stays as it was.

    Raises:
        ClientError: the update asks for something this server does not have.
    """
    _refuse_unsupported(update, abilities)
    changes = update.model_dump(exclude_unset=True)
    result = deepcopy(session)
    _merge(result, {k: v for k, v in changes.items() if k not in _SET_BY_SERVER})
    result["tracing"] = None
    sound_in, sound_out = result["audio"]["input"], result["audio"]["output"]
    sound_out["voice"] = abilities.voice(_voice_name(sound_out["voice"]))
    if sound_in["transcription"] is not None:
        language = primary_language(sound_in["transcription"].get("language"))
        language = language or abilities.language
        if language is not None:
            is_spoken = result["output_modalities"] == ["audio"]
            abilities.check_language(language, is_spoken=is_spoken)
        sound_in["transcription"] = abilities.transcription_in(language)
    return result


def _voice_name(voice: Any) -> str:
    """Return the name of a voice. Raises: ClientError: it is one of a client's own (`{"id": ...}`)."""
    if isinstance(voice, str):
        return voice
    raise ClientError(
        "unsupported_voice",
        "The local model has voices by name only.",
        param="session.audio.output.voice",
    )


def _merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            if key in _NULL_MEANS_OFF:
                target[key] = None
            elif key == "instructions":
                target[key] = ""
        elif key == "turn_detection":
            given = {k: v for k, v in value.items() if v is not None}
            target[key] = {**_VAD_DEFAULTS[value["type"]], **given}
        elif _is_merged(key, value, target):
            _merge(target[key], value)
        else:
            target[key] = value


def _is_merged(key: str, value: Any, target: dict[str, Any]) -> bool:
    is_object = isinstance(value, dict) and isinstance(target.get(key), dict)
    return is_object and key not in _REPLACED_WHOLE


def _refuse_unsupported(update: wire.Session, abilities: Abilities) -> None:
    if update.type != "realtime":
        raise ClientError(
            "invalid_value", "This server has realtime sessions only.", param="session.type"
        )
    refuse_unknown_fields(update, "session")
    for name in ("reasoning", "prompt", "include"):
        refuse_setting(getattr(update, name), f"session.{name}")
    if isinstance(update.truncation, wire.RetentionRatio):
        refuse_setting(update.truncation, "session.truncation")
    refuse_unsupported_tools(update.tools, "session.tools")
    audio = update.audio
    if audio is None:
        return
    if audio.input is not None:
        _refuse_format(audio.input.format, "session.audio.input.format")
        if audio.input.noise_reduction and not abilities.can_suppress_noise:
            raise ClientError(
                "unsupported_setting",
                "Noise suppression is not installed: make setup SPEECH=noise.",
                param="session.audio.input.noise_reduction",
            )
    if audio.output is not None:
        _refuse_format(audio.output.format, "session.audio.output.format")


def refuse_unknown_fields(value: wire.WireObject, path: str) -> None:
    """Refuse fields that are not in the protocol, instead of ignoring them silently.

    Raises:
        ClientError: naming the first of them.
    """
    for name in value.model_extra or ():
        raise ClientError(
            "unknown_parameter", f"Unknown parameter: {path}.{name[:60]}.", param=f"{path}.{name}"
        )
    for name in value.model_fields_set:
        if isinstance(inner := getattr(value, name), wire.WireObject):
            refuse_unknown_fields(inner, f"{path}.{name}")


def refuse_setting(value: Any, param: str) -> None:
    """A setting of the protocol that means nothing here must be left out, or be null or empty.

    Raises:
        ClientError: it is given.
    """
    if value:
        name = param.rpartition(".")[2]
        raise ClientError(
            "unsupported_setting", f"The local model has no {name}: leave it out.", param=param
        )


def _refuse_format(audio_format: Any, param: str) -> None:
    if audio_format is not None and audio_format.type != "audio/pcm":
        raise ClientError(
            "unsupported_audio_format",
            f"{audio_format.type} is not available here: use audio/pcm at 24000 Hz.",
            param=param,
        )


def refuse_unsupported_tools(tools: Any, param: str) -> None:
    """Functions are fine, MCP servers are not.

    Raises:
        ClientError: some tool is not a function.
    """
    for index, tool in enumerate(tools or ()):
        if tool.type != "function":
            raise ClientError(
                "unsupported_tool",
                f"Tools of type {tool.type!r} are not available here: offer functions.",
                param=f"{param}[{index}]",
            )


def turn_settings(session: dict[str, Any]) -> TurnSettings | None:
    """Return the turn detection settings of this session; None when the client commits by hand."""
    detection = session["audio"]["input"]["turn_detection"]
    if detection is None:
        return None
    if detection["type"] == "semantic_vad":
        return semantic_settings(detection["eagerness"])
    return TurnSettings(
        threshold=detection["threshold"],
        prefix_padding_ms=min(detection["prefix_padding_ms"], 5_000),
        silence_ms=min(detection["silence_duration_ms"], 20_000),
    )
